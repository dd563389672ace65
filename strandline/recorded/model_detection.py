"""Scores of a trained model over a recorded table: what it would have raised."""

from __future__ import annotations

import tempfile
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.columns import FloatArray, IntArray
from edge_components.anomaly_detector.config import Config
from edge_components.anomaly_detector.errors import ModelRejectedError
from edge_components.anomaly_detector.model_runtime.group_scorer import GroupScorer, Run
from edge_components.anomaly_detector.model_runtime.live_model import alarm_probability
from edge_components.anomaly_detector.model_runtime.manifest import GroupManifest
from strandline.errors import TableError, reason
from strandline.progress import Progress, no_progress

MANIFEST = "manifest.json"
MAX_MEMBER_BYTES = 60_000_000


@dataclass(frozen=True, slots=True)
class RecordedModel:
    """A trained model and its manifest."""

    manifest: GroupManifest
    run: Run


def load(path: Path) -> RecordedModel:
    """Load a model from its artifact (``model.zip``), its folder or its manifest; raises TableError."""
    from edge_components.anomaly_detector.model_runtime.tflite_model import GroupModel

    try:
        with tempfile.TemporaryDirectory() as scratch:
            manifest = GroupManifest.read(_manifest(path, Path(scratch)))
            return RecordedModel(manifest, GroupModel(manifest, manifest.content()))
    except (ModelRejectedError, OSError, zipfile.BadZipFile, KeyError) as error:
        raise TableError(f"--model {path}: {reason(error)}") from error


def _manifest(path: Path, scratch: Path) -> Path:
    if path.suffix != ".zip":
        return path / MANIFEST if path.is_dir() else path
    with zipfile.ZipFile(path) as packed:
        for name in (MANIFEST, "model.tflite"):
            if packed.getinfo(name).file_size > MAX_MEMBER_BYTES:
                raise OSError(f"{name} has more than {MAX_MEMBER_BYTES} bytes")
            (scratch / name).write_bytes(packed.read(name))
    return scratch / MANIFEST


@dataclass(frozen=True, slots=True)
class ModelDetection:
    """By window: start, highest score of the channels, and its channel."""

    time_ms: IntArray
    level: FloatArray
    channel: list[str]


def detect(
    model: RecordedModel,
    time_ms: IntArray,
    values: FloatArray,
    calibrate: int,
    progress: Progress = no_progress,
    probability: float | None = None,
    drift_windows: int | None = None,
) -> ModelDetection:
    """Score a table whose columns are the model's channels, in windows of the model's width.

    The levels are calibrated on the first ``calibrate`` rows, as on a gateway; before, those of the training apply.
    ``probability`` of a false alarm and ``drift_windows`` are the gateway's defaults if not given.
    """
    from strandline.training.dataset import window_means

    # The columns are those of one device.
    manifest = replace(model.manifest, devices=None)
    order = np.argsort(time_ms, kind="stable")
    starts, means = window_means(time_ms[order], values[order], manifest.interval_ms)
    config = Config()
    if probability is None:
        probability = alarm_probability(manifest, config)
    scorer = GroupScorer(manifest, model.run, max(12, calibrate), probability, drift_windows or config.drift_windows, 1)
    ids: npt.NDArray[np.int64] = np.arange(len(manifest.channels))
    names = list(manifest.channels)
    level, channel = np.zeros(len(starts)), [""] * len(starts)
    for row, (start, mean) in enumerate(zip(starts.tolist(), means, strict=True)):
        known = np.isfinite(mean)
        scores = scorer(names, ids[known], start, manifest.interval_ms, mean[known])
        if scores is not None and np.isfinite(scores.score).any():
            at = int(np.nanargmax(scores.score))
            level[row], channel[row] = float(scores.score[at]), names[int(ids[known][at])]
        progress(row + 1, len(starts))
    return ModelDetection(starts, level, channel)
