"""Models of groups for tests: valid and invalid ones, as real .tflite files with a manifest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import tflite

from strandline.training.model_writer import Graph, Operator, dense_network, write

CHANNELS = ("x", "y", "z")
WINDOW = 2


def identity(values: int, bias: float = 0.0) -> bytes:
    """Return a dense network whose output is its input plus a bias."""
    return dense_network([(np.eye(values), np.full(values, bias))])


def endless(values: int) -> bytes:
    """Return a model with a loop that never ends."""
    main, condition, body = Graph("main"), Graph("condition"), Graph("body")
    main.inputs, main.outputs = [main.tensor("in", (-1, values))], [main.tensor("out", (-1, values))]

    def options(b: Any) -> int:
        tflite.WhileOptionsStart(b)
        tflite.WhileOptionsAddCondSubgraphIndex(b, 1)
        tflite.WhileOptionsAddBodySubgraphIndex(b, 2)
        return int(tflite.WhileOptionsEnd(b))

    loop = Operator(tflite.BuiltinOperator.WHILE, 1, (0,), (1,), tflite.BuiltinOptions.WhileOptions, options)
    main.operators.append(loop)
    condition.inputs = [condition.tensor("in", (-1, values))]
    condition.outputs = [condition.tensor("yes", (1,), np.array([True]))]
    body.inputs, body.outputs = [body.tensor("in", (-1, values))], [body.tensor("out", (-1, values))]
    body.operators.append(Operator(tflite.BuiltinOperator.ABS, 1, (0,), (1,)))
    return write(main, condition, body)


def sometimes_endless(values: int, around: float, reach: float) -> bytes:
    """Return a model that copies its input, one row at a time, but never ends if the maximum is near ``around``."""
    main, condition, body = Graph("main"), Graph("condition"), Graph("body")
    main.inputs, main.outputs = [main.tensor("in", (-1, values))], [main.tensor("out", (-1, values))]

    def loops(b: Any) -> int:
        tflite.WhileOptionsStart(b)
        tflite.WhileOptionsAddCondSubgraphIndex(b, 1)
        tflite.WhileOptionsAddBodySubgraphIndex(b, 2)
        return int(tflite.WhileOptionsEnd(b))

    def reduces(b: Any) -> int:
        tflite.ReducerOptionsStart(b)
        tflite.ReducerOptionsAddKeepDims(b, False)
        return int(tflite.ReducerOptionsEnd(b))

    op, options = tflite.BuiltinOperator, tflite.BuiltinOptions
    main.operators.append(Operator(op.WHILE, 1, (0,), (1,), options.WhileOptions, loops))
    condition.inputs = [condition.tensor("in", (-1, values))]
    axes = condition.tensor("axes", (2,), np.array([0, 1], np.int32))
    centre = condition.tensor("centre", (), np.array(around, np.float32))
    limit = condition.tensor("limit", (), np.array(reach**2, np.float32))
    greatest, away, near = (condition.tensor(name, ()) for name in ("greatest", "away", "near"))
    condition.operators += [
        Operator(op.REDUCE_MAX, 1, (0, axes), (greatest,), options.ReducerOptions, reduces),
        Operator(op.SQUARED_DIFFERENCE, 1, (greatest, centre), (away,)),
        Operator(op.LESS, 1, (away, limit), (near,)),
    ]
    condition.outputs = [near]
    body.inputs, body.outputs = [body.tensor("in", (-1, values))], [body.tensor("out", (-1, values))]
    body.operators.append(Operator(op.ABS, 1, (0,), (1,)))
    return write(main, condition, body)


def offer(folder: Path, model: bytes | None = None, version: str = "0.1.0", **changes: Any) -> Path:
    """Write a model and its manifest into a folder and return the manifest's path."""
    channels = changes.pop("names", CHANNELS)
    values = WINDOW * len(channels)
    content = identity(values) if model is None else model
    body = {
        "format": "strandline-model/1",
        "name": "pump-autoencoder",
        "version": version,
        "kind": "autoencoder",
        "group": "pump",
        "devices": "pump*",
        "channels": [{"name": name, "unit": "bar", "centre": 10.0, "scale": 0.5} for name in channels],
        "clip": 20.0,
        "window": WINDOW,
        "interval_ms": 1000,
        "calibration": None,
        "file": "model.tflite",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "inputs": [{"name": "windows", "shape": [-1, values], "dtype": "float32"}],
        "outputs": [{"name": "given back", "shape": [-1, values], "dtype": "float32"}],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.tflite").write_bytes(content)
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps(body | changes))
    return manifest
