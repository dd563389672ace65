"""Makes the model file that comes with the component; run where the ``train`` extra is installed.

``python -m edge_components.anomaly_detector.models.shipped`` writes forecaster.tflite and its manifest; a test holds
the committed files equal to what this makes.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from edge_components.anomaly_detector.models.model_writer import linear_forecaster
from edge_components.anomaly_detector.statistics.forecaster import TERMS

FOLDER = Path(__file__).parent


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
    FOLDER.mkdir(exist_ok=True)
    for name, content in files().items():
        (FOLDER / name).write_bytes(content)


if __name__ == "__main__":
    main()
