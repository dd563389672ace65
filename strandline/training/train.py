"""From recorded tables to a packed model component."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_components.anomaly_detector.model_runtime.manifest import AUTOENCODER, FORECASTER, FORMAT, MAX_VALUES
from strandline.errors import TrainingError
from strandline.progress import Progress, no_progress
from strandline.training import dataset, dense, evaluation
from strandline.training.dataset import Dataset, FloatArray, Parts
from strandline.training.evaluation import Examples
from strandline.training.layers import CLIP, fit_layers
from strandline.training.model_component import PackedModel, next_version, pack

KINDS = (AUTOENCODER, FORECASTER, "convolutional")


@dataclass(frozen=True, slots=True)
class Request:
    """Training request; ``strandline train --help`` explains the fields."""

    data: Path
    group: str
    out: Path
    time: str = ""
    channels: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    devices: str | None = None
    whole_names: bool = False
    kind: str = AUTOENCODER
    window: int = 8
    window_ms: int | None = None
    bottleneck: int | None = None
    int8: bool = False
    version: str | None = None
    seed: int = 1
    exclude: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Trained:
    """Result of a training."""

    packed: PackedModel
    manifest: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Made:
    """A fitted model: its file, its inputs and outputs, and the function that it computes."""

    content: bytes
    ports: dict[str, Any]
    run: evaluation.Run
    epochs: int


def train(request: Request, progress: Progress = no_progress) -> Trained:
    """Train, measure and pack; raises TrainingError. ``progress`` counts the windows of all epochs."""
    _check(request)
    found = dataset.read(request.data, request.time, request.channels, request.window_ms, request.exclude)
    if request.units and len(request.units) != len(found.channels):
        raise TrainingError(
            f"--units: {len(request.units)} for {len(found.channels)} channels ({', '.join(found.channels)})"
        )
    if request.window * len(found.channels) > MAX_VALUES:
        raise TrainingError(f"--window {request.window}: window times channels is at most {MAX_VALUES}")
    parts = dataset.split(found)
    held_out = _examples(parts.held_out, request)
    made = _make(parts, request, progress)
    tails = evaluation.calibration(held_out.errors(made.run))
    manifest = {
        **_description(request, found, parts),
        **made.ports,
        "calibration": {name: _numbers(getattr(tails, name)[0]) for name in ("threshold", "excess", "share")},
        "training": {
            "data_sha256": found.sha256,
            "files": list(found.files)[:100],
            "from": found.range[0],
            "to": found.range[1],
            "windows": found.windows,
            "epochs": made.epochs,
            "seed": request.seed,
        },
        "metrics": evaluation.metrics(held_out, made.run, tails, found.channels),
    }
    if request.exclude:
        manifest["training"]["excluded_ms"] = [list(one) for one in request.exclude]
    return Trained(pack(request.out, made.content, manifest), manifest)


def _check(request: Request) -> None:
    for option, value, low, high in (
        ("--window", request.window, 1, 10_000),
        ("--window-ms", 1 if request.window_ms is None else request.window_ms, 1, 86_400_000),
        ("--bottleneck", 1 if request.bottleneck is None else request.bottleneck, 1, 1024),
    ):
        if not low <= value <= high:
            raise TrainingError(f"{option} {value}: allowed are {low} to {high}")
    if request.kind not in KINDS:
        raise TrainingError(f"--kind {request.kind}: allowed are {', '.join(KINDS)}")


def _examples(sections: Sequence[FloatArray], request: Request) -> Examples:
    if request.kind != FORECASTER:
        inputs = dataset.windows(sections, request.window)
        return Examples(inputs, inputs[:, -1], reconstructs=True)
    both = dataset.windows(sections, request.window + 1)
    return Examples(both[:, :-1], both[:, -1], reconstructs=False)


def _make(parts: Parts, request: Request, progress: Progress) -> _Made:
    fitted, stop_on = _examples(parts.fitted, request), _examples(parts.stopped_on, request)
    if request.kind == "convolutional" or request.int8:
        from strandline.training import keras_models  # needs TensorFlow

        return _Made(
            *keras_models.make(request.kind, fitted, stop_on, request.bottleneck, request.int8, request.seed, progress)
        )
    layers = fit_layers(request.kind, fitted, stop_on, request.bottleneck, request.seed, progress)
    from strandline.training.model_writer import dense_network  # needs the extra `train`

    values, outputs = layers.layers[0][0].shape[0], layers.layers[-1][0].shape[1]
    ports = {
        "inputs": [{"name": "windows", "shape": [-1, values], "dtype": "float32"}],
        "outputs": [{"name": "output", "shape": [-1, outputs], "dtype": "float32"}],
    }
    # The figures are of the weights with the precision of the file.
    rounded = [
        (w.astype(np.float32).astype(np.float64), b.astype(np.float32).astype(np.float64)) for w, b in layers.layers
    ]

    def run(windows: FloatArray) -> FloatArray:
        return dense.run(rounded, np.clip(windows, -CLIP, CLIP).reshape(len(windows), -1))

    return _Made(dense_network(layers.layers), ports, run, layers.epochs)


def _description(request: Request, found: Dataset, parts: Parts) -> dict[str, Any]:
    units = request.units or ("",) * len(found.channels)
    columns = zip(found.channels, units, parts.centre.tolist(), parts.scale.tolist(), strict=True)
    return {
        "format": FORMAT,
        "kind": FORECASTER if request.kind == FORECASTER else AUTOENCODER,
        "version": request.version or next_version(request.out, request.group),
        "group": request.group,
        "devices": None if request.whole_names else (request.devices or request.group),
        "channels": [{"name": n, "unit": unit, "centre": centre, "scale": scale} for n, unit, centre, scale in columns],
        "clip": CLIP,
        "window": request.window,
        "interval_ms": found.interval_ms,
    }


def _numbers(values: FloatArray) -> list[float]:
    return [float(f"{value:.6g}") for value in values.tolist()]
