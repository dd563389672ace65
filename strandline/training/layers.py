"""Dense layers of a model, fitted in NumPy; the file is written by the project's own writer or by TensorFlow."""

from __future__ import annotations

import numpy as np

from edge_components.anomaly_detector.models.manifest import FORECASTER
from strandline.training import dense, ridge
from strandline.training.evaluation import Question

CLIP = 20.0
"""Inputs further than this many scales from their centre are taken as this far."""


def fit_layers(kind: str, fitted: Question, stop_on: Question, bottleneck: int | None, seed: int) -> dense.Fitted:
    """Fit the dense layers of an auto-encoder or of a forecaster."""
    inputs, stop_inputs = (np.clip(one.inputs, -CLIP, CLIP).reshape(len(one.inputs), -1) for one in (fitted, stop_on))
    if kind == FORECASTER:
        return ridge.fit(inputs, fitted.wanted, stop_inputs, stop_on.wanted)
    return dense.fit(inputs, stop_inputs, dense.sizes_for(inputs.shape[1], bottleneck), seed)
