"""From recorded tables to a packed model component."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_components.anomaly_detector.models.manifest import AUTOENCODER, FORECASTER, FORMAT, MOST_VALUES
from strandline.errors import TrainingError
from strandline.training import dataset, dense, evaluation
from strandline.training.dataset import Dataset, FloatArray, Parts
from strandline.training.evaluation import Question
from strandline.training.layers import CLIP, fit_layers
from strandline.training.model_component import PackedModel, next_version, pack

KINDS = (AUTOENCODER, FORECASTER, "convolutional")


@dataclass(frozen=True, slots=True)
class Wish:
    """Training request; see ``strandline train --help`` for each."""

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


@dataclass(frozen=True, slots=True)
class Trained:
    """Result of a training."""

    packed: PackedModel
    manifest: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Made:
    """A model's file, its ports, and the function that it is."""

    content: bytes
    ports: dict[str, Any]
    run: evaluation.Run
    epochs: int


def train(wish: Wish) -> Trained:
    """Train, measure and pack; raises TrainingError."""
    _check(wish)
    found = dataset.read(wish.data, wish.time, wish.channels, wish.window_ms)
    if wish.units and len(wish.units) != len(found.channels):
        raise TrainingError(
            f"--units: {len(wish.units)} for {len(found.channels)} channels ({', '.join(found.channels)})"
        )
    if wish.window * len(found.channels) > MOST_VALUES:
        raise TrainingError(f"--window {wish.window}: window times channels is at most {MOST_VALUES}")
    parts = dataset.cut(found)
    held_out = _question(parts.held_out, wish)
    made = _make(parts, wish)
    tails = evaluation.calibration(held_out.errors(made.run))
    manifest = {
        **_meaning(wish, found, parts),
        **made.ports,
        "calibration": {name: _numbers(getattr(tails, name)[0]) for name in ("threshold", "excess", "share")},
        "training": {
            "data_sha256": found.sha256,
            "files": list(found.files)[:100],
            "from": found.range[0],
            "to": found.range[1],
            "windows": found.windows,
            "epochs": made.epochs,
            "seed": wish.seed,
        },
        "metrics": evaluation.metrics(held_out, made.run, tails, found.channels),
    }
    return Trained(pack(wish.out, made.content, manifest), manifest)


def _check(wish: Wish) -> None:
    for option, value, low, high in (
        ("--window", wish.window, 1, 10_000),
        ("--window-ms", 1 if wish.window_ms is None else wish.window_ms, 1, 86_400_000),
        ("--bottleneck", 1 if wish.bottleneck is None else wish.bottleneck, 1, 1024),
    ):
        if not low <= value <= high:
            raise TrainingError(f"{option} {value}: {low} to {high} are allowed")
    if wish.kind not in KINDS:
        raise TrainingError(f"--kind {wish.kind}: one of {', '.join(KINDS)} is allowed")


def _question(stretches: Sequence[FloatArray], wish: Wish) -> Question:
    if wish.kind != FORECASTER:
        inputs = dataset.windows(stretches, wish.window)
        return Question(inputs, inputs[:, -1], reconstructs=True)
    both = dataset.windows(stretches, wish.window + 1)
    return Question(both[:, :-1], both[:, -1], reconstructs=False)


def _make(parts: Parts, wish: Wish) -> _Made:
    fitted, stop_on = _question(parts.fitted, wish), _question(parts.stopped_on, wish)
    if wish.kind == "convolutional" or wish.int8:
        from strandline.training import keras_models  # TensorFlow, an extra of its own

        return _Made(*keras_models.make(wish.kind, fitted, stop_on, wish.bottleneck, wish.int8, wish.seed))
    layers = fit_layers(wish.kind, fitted, stop_on, wish.bottleneck, wish.seed)
    from strandline.training.model_writer import dense_network  # needs the extra `train`

    values, outputs = layers.layers[0][0].shape[0], layers.layers[-1][0].shape[1]
    ports = {
        "inputs": [{"name": "windows", "shape": [-1, values], "dtype": "float32"}],
        "outputs": [{"name": "said", "shape": [-1, outputs], "dtype": "float32"}],
    }
    # What is measured is what will run: the weights as the file has them.
    rounded = [
        (w.astype(np.float32).astype(np.float64), b.astype(np.float32).astype(np.float64)) for w, b in layers.layers
    ]

    def run(windows: FloatArray) -> FloatArray:
        return dense.run(rounded, np.clip(windows, -CLIP, CLIP).reshape(len(windows), -1))

    return _Made(dense_network(layers.layers), ports, run, layers.epochs)


def _meaning(wish: Wish, found: Dataset, parts: Parts) -> dict[str, Any]:
    units = wish.units or ("",) * len(found.channels)
    columns = zip(found.channels, units, parts.centre.tolist(), parts.scale.tolist(), strict=True)
    return {
        "format": FORMAT,
        "kind": FORECASTER if wish.kind == FORECASTER else AUTOENCODER,
        "version": wish.version or next_version(wish.out, wish.group),
        "group": wish.group,
        "devices": None if wish.whole_names else (wish.devices or wish.group),
        "channels": [{"name": n, "unit": unit, "centre": centre, "scale": scale} for n, unit, centre, scale in columns],
        "clip": CLIP,
        "window": wish.window,
        "interval_ms": found.interval_ms,
    }


def _numbers(values: FloatArray) -> list[float]:
    return [float(f"{value:.6g}") for value in values.tolist()]
