"""The child process that validates a model: load it, run it on a few inputs, exit 0 if its outputs are finite.

``python -m edge_components.anomaly_detector.model_runtime.validation MANIFEST`` prints one JSON object with the median
processor time of a call; a rejection is one line on standard error, exit code 1.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.errors import ModelRejectedError
from edge_components.anomaly_detector.model_runtime.manifest import FORMAT, GroupManifest, Manifest
from edge_components.anomaly_detector.model_runtime.tflite_model import GroupModel, Model

MAX_MEMORY = 768 * 1024 * 1024
MAX_SECONDS = 60
ROWS = (1, 3, 1)


def run_model(path: Path) -> float:
    """Load and run the model; returns the median seconds of a call, raises ModelRejectedError with the reason."""
    if _is_group(path):
        return _run_group(GroupManifest.read(path))
    manifest = Manifest.read(path)
    model, rng, taken = Model(manifest, manifest.content()), np.random.default_rng(0), []
    for rows in ROWS:
        inputs = [_probe(rng, rows, port.shape[1:], np.dtype(port.dtype)) for port in manifest.inputs]
        began = time.thread_time()
        outputs = model.run(*inputs)
        taken.append(time.thread_time() - began)
        for port, output in zip(manifest.outputs, outputs, strict=True):
            if not np.all(np.isfinite(output)):
                raise ModelRejectedError(f"model {manifest.name}: {port.name} is not finite")
    return float(np.median(taken))


def _run_group(manifest: GroupManifest) -> float:
    model, rng, taken = GroupModel(manifest, manifest.content()), np.random.default_rng(0), []
    shape = manifest.window, len(manifest.channels)
    usual = [rng.normal(size=(rows, *shape)) for rows in ROWS]
    # Typical windows, zeros, and the largest values that it will receive.
    for values in (
        *usual,
        np.zeros((1, *shape)),
        np.full((2, *shape), manifest.clip),
        np.full((2, *shape), -manifest.clip),
    ):
        began = time.thread_time()
        output = model(values.astype(np.float32))
        taken.append(time.thread_time() - began)
        if output.shape[1] != manifest.output_values:
            raise ModelRejectedError(f"model {manifest.name}: output is {output.shape} for {len(values)} rows")
    return float(np.median(taken))


def _is_group(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_bytes()).get("format") == FORMAT)
    except (OSError, ValueError, AttributeError, RecursionError):
        return False  # the reader raises the error


def _probe(rng: np.random.Generator, rows: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    values = rng.normal(size=(rows, *shape))
    return np.clip(values * 40, -128, 127).astype(dtype) if dtype.kind == "i" else values.astype(dtype)


def _bound_this_process() -> None:
    """Limit processor time, memory and priority, so that the process ends even if its parent has."""
    os.nice(10)
    for kind, limit in (
        (resource.RLIMIT_CPU, MAX_SECONDS),
        (resource.RLIMIT_DATA, MAX_MEMORY),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (limit, limit))


def main() -> int:
    """Validate the model that the command line names."""
    _bound_this_process()
    try:
        seconds = run_model(Path(sys.argv[1]))
    except ModelRejectedError as error:
        print(str(error).replace("\n", " "), file=sys.stderr)  # noqa: T201 # the parent reads it
        return 1
    except MemoryError:
        print(f"it needs more than {MAX_MEMORY >> 20} MB", file=sys.stderr)  # noqa: T201
        return 1
    print(json.dumps({"call_s": seconds}))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
