"""Evaluation and calibration of a model on the held-out part of the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_components.anomaly_detector.models.error_levels import LEAST_ERROR, Tails, fit, group_error
from strandline.training.dataset import FloatArray

Run = Callable[[FloatArray], FloatArray]
"""A model over standardised windows [n, window, channels]; returns [n, values]."""

SHIFT = 3.0
"""The figures tell how often a shift of one channel's last window by so many scales reaches the alarm level."""
RARELY = 1e-4
"""The alarm level of the figures: an error that a channel shows in so few windows."""
MOST_PROBES = 500


@dataclass(frozen=True, slots=True)
class Question:
    """Model inputs, [n, window, channels], and the target of each, [n, channels]."""

    inputs: FloatArray
    wanted: FloatArray
    reconstructs: bool

    def errors(self, run: Run) -> FloatArray:
        """Return the errors [n, channels], as the detector takes them."""
        said = run(self.inputs)
        if self.reconstructs:
            return np.asarray(np.sqrt(np.square(said.reshape(self.inputs.shape) - self.inputs).mean(axis=1)))
        return np.asarray(np.abs(said - self.wanted), np.float64)

    def shifted(self, channel: int) -> Question:
        """Return the question with a channel's newest value shifted."""
        inputs, wanted = self.inputs[:MOST_PROBES].copy(), self.wanted[:MOST_PROBES].copy()
        if self.reconstructs:
            inputs[:, -1, channel] += SHIFT
        else:
            wanted[:, channel] += SHIFT
        return Question(inputs, wanted, self.reconstructs)


def calibration(errors: FloatArray) -> Tails:
    """Return how errors [n, channels] fall off."""
    return fit(errors[:, None, :])


def metrics(question: Question, run: Run, tails: Tails, channels: tuple[str, ...]) -> dict[str, Any]:
    """Return the figures for the manifest; errors are in scales, where 1 is a channel's usual spread."""
    errors = question.errors(run)
    levels = tails.levels(RARELY)[0]
    seen = {}
    for at, name in enumerate(channels):
        shifted = question.shifted(at).errors(run)
        own = np.maximum(shifted, LEAST_ERROR) / levels[:-1]
        group = group_error(shifted, tails.threshold[:, :-1]) / levels[-1]
        seen[name] = {
            "rms_error": _short(np.sqrt(np.square(errors[:, at]).mean())),
            "alarm_error": _short(levels[at]),
            "shifts_seen": _short(np.mean(np.maximum(own.max(axis=1), group) >= 1.0)),
        }
    spread = float(np.square(question.wanted).mean())
    return {
        "held_out_windows": len(errors),
        "rms_error": _short(np.sqrt(np.square(errors).mean())),
        "explained": _short(1.0 - np.square(errors).mean() / max(spread, 1e-12)),
        "shift": SHIFT,
        "channels": seen,
    }


def _short(value: Any) -> float:
    return float(f"{float(value):.4g}")
