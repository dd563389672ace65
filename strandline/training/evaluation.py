"""Evaluation and calibration of a model on the held-out part of the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_components.anomaly_detector.model_runtime.error_levels import MIN_ERROR, Tails, fit, group_error
from strandline.training.dataset import FloatArray

Run = Callable[[FloatArray], FloatArray]
"""A model over standardised windows [n, window, channels]; returns [n, values]."""

SHIFT = 3.0
"""Shift of one channel's last window, in scales, for the share of detected shifts."""
ALARM_SHARE = 1e-4
"""Share of windows whose error exceeds the alarm level of the figures."""
MAX_PROBES = 500


@dataclass(frozen=True, slots=True)
class Examples:
    """Model inputs, [n, window, channels], and the target of each, [n, channels]."""

    inputs: FloatArray
    targets: FloatArray
    reconstructs: bool

    def errors(self, run: Run) -> FloatArray:
        """Return the errors [n, channels], as the detector computes them."""
        outputs = run(self.inputs)
        if self.reconstructs:
            return np.asarray(np.sqrt(np.square(outputs.reshape(self.inputs.shape) - self.inputs).mean(axis=1)))
        return np.asarray(np.abs(outputs - self.targets), np.float64)

    def shifted(self, channel: int) -> Examples:
        """Return the examples with the newest value of a channel shifted."""
        inputs, targets = self.inputs[:MAX_PROBES].copy(), self.targets[:MAX_PROBES].copy()
        if self.reconstructs:
            inputs[:, -1, channel] += SHIFT
        else:
            targets[:, channel] += SHIFT
        return Examples(inputs, targets, self.reconstructs)


def calibration(errors: FloatArray) -> Tails:
    """Return the tails of the distributions of errors [n, channels]."""
    return fit(errors[:, None, :])


def metrics(examples: Examples, run: Run, tails: Tails, channels: tuple[str, ...]) -> dict[str, Any]:
    """Return the figures for the manifest; errors are in scales, where 1 is a channel's standard deviation."""
    errors = examples.errors(run)
    levels = tails.levels(ALARM_SHARE)[0]
    figures = {}
    for at, name in enumerate(channels):
        shifted = examples.shifted(at).errors(run)
        own = np.maximum(shifted, MIN_ERROR) / levels[:-1]
        group = group_error(shifted, tails.threshold[:, :-1]) / levels[-1]
        figures[name] = {
            "rms_error": _short(np.sqrt(np.square(errors[:, at]).mean())),
            "alarm_error": _short(levels[at]),
            "shifts_seen": _short(np.mean(np.maximum(own.max(axis=1), group) >= 1.0)),
        }
    spread = float(np.square(examples.targets).mean())
    return {
        "held_out_windows": len(errors),
        "rms_error": _short(np.sqrt(np.square(errors).mean())),
        "explained": _short(1.0 - np.square(errors).mean() / max(spread, 1e-12)),
        "shift": SHIFT,
        "channels": figures,
    }


def _short(value: Any) -> float:
    return float(f"{float(value):.4g}")
