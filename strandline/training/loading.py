"""Validate a model in a child process, wait for the result, and load the model."""

from __future__ import annotations

from pathlib import Path

from edge_components.anomaly_detector.model_runtime.manifest import GroupManifest, Manifest
from edge_components.anomaly_detector.model_runtime.tflite_model import SHIPPED, GroupModel, Model, TfliteForecast
from edge_components.anomaly_detector.model_runtime.validation_process import VALIDATION_SECONDS, ValidationProcess


def load(path: Path, seconds: float = VALIDATION_SECONDS) -> Model:
    """Check, validate and load the model of a manifest; raises ModelRejectedError and loads nothing then."""
    manifest = Manifest.read(path)
    content = manifest.content()
    ValidationProcess(path, seconds).wait()
    return Model(manifest, content)


def load_group(path: Path, seconds: float = VALIDATION_SECONDS) -> GroupModel:
    """Check, validate and load a group's model; raises ModelRejectedError and loads nothing then."""
    manifest = GroupManifest.read(path)
    content = manifest.content()
    ValidationProcess(path, seconds).wait()
    return GroupModel(manifest, content)


def load_forecast(path: Path = SHIPPED) -> TfliteForecast:
    """Load the forecaster's model; raises ModelRejectedError."""
    return TfliteForecast(load(path))
