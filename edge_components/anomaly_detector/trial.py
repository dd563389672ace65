"""The child process in which a model is tried: load it, run it on a few inputs, exit 0 if its answers are numbers.

``python -m edge_components.anomaly_detector.trial MANIFEST``; a refusal is one line on standard error, exit code 1.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.errors import ModelRefusedError
from edge_components.anomaly_detector.tflite_model import Manifest, Model


def attempt(path: Path) -> None:
    """Load and run the model; raises ModelRefusedError with what is wrong."""
    manifest = Manifest.read(path)
    model = Model(manifest, manifest.content())
    rng = np.random.default_rng(0)
    for rows in (1, 3, 1):
        inputs = [_probe(rng, rows, port.shape[1:], np.dtype(port.dtype)) for port in manifest.inputs]
        for port, output in zip(manifest.outputs, model.run(*inputs), strict=True):
            if output.shape != (rows, *port.shape[1:]):
                raise ModelRefusedError(f"model {manifest.name}: {port.name} is {output.shape} for {rows} rows")
            if not np.all(np.isfinite(output)):
                raise ModelRefusedError(f"model {manifest.name}: {port.name} is not finite")


def _probe(rng: np.random.Generator, rows: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    values = rng.normal(size=(rows, *shape))
    return np.clip(values * 40, -128, 127).astype(dtype) if dtype.kind == "i" else values.astype(dtype)


def main() -> int:
    """Try the model that the command line names."""
    try:
        attempt(Path(sys.argv[1]))
    except ModelRefusedError as error:
        print(str(error).replace("\n", " "), file=sys.stderr)  # noqa: T201 # how the parent hears of it
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
