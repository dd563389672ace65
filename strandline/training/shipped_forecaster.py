"""Make the forecaster that ships with the anomaly detector; needs the extra ``train``.

``python -m strandline.training.shipped_forecaster`` writes forecaster.tflite and its manifest; a test
compares the committed files with its result.
"""

from __future__ import annotations

import hashlib
import json

from edge_components.anomaly_detector.model_runtime.tflite_model import SHIPPED
from edge_components.anomaly_detector.univariate.forecaster import TERMS
from strandline.training.model_writer import linear_forecaster

FOLDER = SHIPPED.parent


def files() -> dict[str, bytes]:
    """Return the files of the shipped model by name."""
    model = linear_forecaster(TERMS)
    manifest = {
        "name": "linear-forecaster",
        "version": "0.1.0",
        "file": "forecaster.tflite",
        "size": len(model),
        "sha256": hashlib.sha256(model).hexdigest(),
        "inputs": [
            {"name": "terms", "shape": [-1, TERMS], "dtype": "float32"},
            {"name": "weights", "shape": [-1, TERMS], "dtype": "float32"},
        ],
        "outputs": [{"name": "forecast", "shape": [-1], "dtype": "float32"}],
    }
    return {"forecaster.tflite": model, "forecaster.json": (json.dumps(manifest, indent=2) + "\n").encode()}


def main() -> None:
    """Write the files."""
    for name, content in files().items():
        (FOLDER / name).write_bytes(content)


if __name__ == "__main__":
    main()
