"""Dense layers of a model, fitted in NumPy; model_writer or TensorFlow writes the file."""

from __future__ import annotations

import numpy as np

from edge_components.anomaly_detector.model_runtime.manifest import FORECASTER
from strandline.progress import Progress, no_progress
from strandline.training import dense, ridge
from strandline.training.evaluation import Examples

CLIP = 20.0
"""Inputs are clipped to this many scales from their centre."""


def fit_layers(
    kind: str,
    fitted: Examples,
    stop_on: Examples,
    bottleneck: int | None,
    seed: int,
    progress: Progress = no_progress,
) -> dense.Fitted:
    """Fit the dense layers of an auto-encoder or of a forecaster."""
    inputs, stop_inputs = (np.clip(one.inputs, -CLIP, CLIP).reshape(len(one.inputs), -1) for one in (fitted, stop_on))
    if kind == FORECASTER:
        return ridge.fit(inputs, fitted.targets, stop_inputs, stop_on.targets)
    return dense.fit(inputs, stop_inputs, dense.sizes_for(inputs.shape[1], bottleneck), seed, progress)
