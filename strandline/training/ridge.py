"""A linear forecaster of all channels from their last windows, fitted in closed form (ridge regression)."""

from __future__ import annotations

import numpy as np

from strandline.training.dataset import FloatArray
from strandline.training.dense import Fitted

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Candidates, per thousand windows; the one with the lowest loss on the stopping data is used."""


def fit(inputs: FloatArray, targets: FloatArray, stop_inputs: FloatArray, stop_targets: FloatArray) -> Fitted:
    """Fit ``targets`` [n, channels] on ``inputs`` [n, values]; the layer has a bias."""
    x, y = inputs - inputs.mean(axis=0), targets - targets.mean(axis=0)
    gram, cross = x.T @ x, x.T @ y
    best: Fitted | None = None
    for penalty in PENALTIES:
        weights = np.linalg.solve(gram + penalty * len(x) / 1000 * np.eye(len(gram)), cross)
        bias = targets.mean(axis=0) - inputs.mean(axis=0) @ weights
        loss = float(np.mean(np.square(stop_inputs @ weights + bias - stop_targets)))
        if best is None or loss < best.loss:
            best = Fitted([(weights, bias)], 1, loss)
    assert best is not None  # noqa: S101 # for the type checker: there are penalties
    return best
