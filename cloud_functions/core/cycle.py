"""Detection of a cycle in a history, such as a daily one, so that its slopes are not mistaken for a trend.

Harmonic regression together with a straight line (Hyndman & Athanasopoulos, "Forecasting: Principles and Practice", 7.4
and 10.5); the period is found in the periodogram. A cycle must have repeated often enough, and a fit to the first two
thirds of the history must predict the last third: a random walk also resembles a cycle, but not a predictable one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

HARMONICS = 3
MIN_CYCLES = 3.0
"""Minimum number of repetitions of a cycle."""
MIN_PERIOD_STEPS = 6.0
"""Smallest number of steps of a cycle, below which its harmonics cannot be distinguished."""
MIN_SHARE = 0.5
"""Minimum fraction of the variance around the line that it explains, in the history and in the predicted last third."""
_TRIED, _AROUND = 6, np.linspace(-0.25, 0.25, 11)


@dataclass(frozen=True, slots=True, eq=False)
class Cycle:
    """``period`` in steps; ``weights`` [2 * HARMONICS] of its cosines and sines, from the history's first step on."""

    period: float
    weights: FloatArray

    def at(self, steps: FloatArray) -> FloatArray:
        """Return float64[n]: the deviation of the cycle from the trend at ``steps``, counted from the history's
        first."""
        return np.asarray(_waves(steps, self.period) @ self.weights)


def find(values: FloatArray) -> Cycle | None:
    """Return the cycle in float64[n] (NaN: missing), or None if none is significant."""
    at = np.flatnonzero(np.isfinite(values)).astype(np.float64)
    known, n = values[np.isfinite(values)], len(values)
    line = np.stack([np.ones_like(at), at], axis=1)
    rest = _rest(line, known)
    times = np.arange(MIN_CYCLES, n / MIN_PERIOD_STEPS, 0.5)
    if not len(times) or len(known) < 4 * (2 + 2 * HARMONICS) or not rest > 0:
        return None
    residual = known - line @ _fit(line, known)
    power = np.abs(np.exp(-2j * np.pi / n * np.outer(times, at)) @ residual)
    tried = (times[np.argsort(power)[-_TRIED:], None] + _AROUND).ravel()
    periods = n / tried[tried >= MIN_CYCLES]
    period = min(periods.tolist(), key=lambda one: _rest(np.hstack([line, _waves(at, one)]), known))
    both = np.hstack([line, _waves(at, period)])
    if 1 - _rest(both, known) / rest < MIN_SHARE:
        return None
    first = at < at[-1] * 2 / 3
    predicted = _waves(at[~first], period) @ _fit(both[first], known[first])[2:]
    later = known[~first]
    if 1 - _rest(line[~first], later - predicted) / max(_rest(line[~first], later), 1e-300) < MIN_SHARE:
        return None
    return Cycle(period, _fit(both, known)[2:])


def _waves(at: FloatArray, period: float) -> FloatArray:
    angle = np.outer(at, np.arange(1, HARMONICS + 1)) * (2 * np.pi / period)
    return np.hstack([np.cos(angle), np.sin(angle)])


def _fit(design: FloatArray, values: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.lstsq(design, values, rcond=None)[0])


def _rest(design: FloatArray, values: FloatArray) -> float:
    return float(((values - design @ _fit(design, values)) ** 2).sum())
