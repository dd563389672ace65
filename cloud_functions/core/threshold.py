"""Time at which a series reaches a limit: an interval, or no estimate with a reason.

It concerns a value and a limit only, not the consequences for a machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from cloud_functions.core.cycle import Cycle, find
from cloud_functions.core.damped_trend import Fit, FloatArray, fit
from cloud_functions.core.history import MIN_STEPS, History

LEVEL = 0.8
"""Probability of the interval: the limit is reached before ``early`` with 10%, after ``late`` or never with 10%."""
CERTAINTY = 0.9
"""Minimum probability of a trend."""
MAX_REACH = 2.0
"""Maximum horizon as a multiple of the length of the history."""


class Side(StrEnum):
    """Direction from which a limit is reached."""

    HIGH = "high"
    """From below."""
    LOW = "low"
    """From above."""


class Reason(StrEnum):
    """Reason for a missing estimate."""

    TOO_SHORT = "too_short"
    """Too little history."""
    GAP = "gap"
    """Too little history since the last gap, or no recent rows."""
    BEYOND = "beyond"
    """The value is at or beyond the limit already."""
    NO_TREND = "no_trend"
    """A trend is not significant."""
    AWAY = "away"
    """The trend leads away from the limit."""
    BOUND = "bound"
    """The trend is damped, and its asymptote lies before the limit."""
    HORIZON = "horizon"
    """The probability of reaching the limit within the horizon is too low."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Steps from the history's end until the first one whose mean is at or beyond the limit, counted from 1.

    ``early`` and ``late`` contain it with probability :data:`LEVEL`, ``middle`` is the median; ``probability`` is that
    of reaching it within the horizon.
    """

    early: int
    middle: int
    late: int
    probability: float


@dataclass(frozen=True, slots=True)
class NoEstimate:
    """A missing estimate: the reason and, if known, the ``probability`` of reaching the limit within the horizon."""

    reason: Reason
    detail: str
    probability: float | None = None


class SimulatedForecast:
    """Simulated forecasts of one history over ``horizon`` steps, evaluated for any number of limits.

    ``fit`` and ``cycle`` are None if the history is too short or does not have them; the trend is that of the history
    without its cycle.
    """

    def __init__(self, history: History, horizon: int) -> None:
        self.history, n = history, len(history.values)
        self.horizon = max(1, min(horizon, round(MAX_REACH * n)))
        known = history.values[np.isfinite(history.values)]
        self._refusal = _refusal(history, known)
        self.cycle: Cycle | None = find(history.values) if self._refusal is None else None
        swing = np.zeros(n + self.horizon)
        if self.cycle is not None:
            swing = self.cycle.at(np.arange(n + self.horizon, dtype=np.float64))
        rest, self._ahead = history.values - swing[:n], swing[n:]
        # A constant history fits every model and has no evidence of a trend.
        moves = len(known) > 1 and float(np.nanmax(rest) - np.nanmin(rest)) > max(
            1e-9 * float(np.abs(known).max()), 1e-100
        )
        self.fit: Fit | None = fit(rest) if self._refusal is None and moves else None
        self._paths: FloatArray | None = None

    def reach(self, side: Side, limit: float) -> Estimate | NoEstimate:
        """Return when the limit is reached; the same history and limit always give the same answer."""
        if self._refusal is not None:
            return self._refusal
        sign = 1.0 if side is Side.HIGH else -1.0
        last = self.history.last
        if sign * (last - limit) >= 0:
            return NoEstimate(Reason.BEYOND, f"the value is {last:.6g}")
        certainty = self.fit.trend_certainty if self.fit is not None else 0.0
        if self.fit is None or certainty < CERTAINTY:
            return NoEstimate(
                Reason.NO_TREND, f"the probability of a trend is {certainty:.0%}, required are {CERTAINTY:.0%}"
            )
        if self._paths is None:
            self._paths = self.fit.paths(self.horizon)
        level, end = self.fit.parameters["level"], float(np.median(self._paths[-1]))
        if sign * (end - level) <= 0:
            return NoEstimate(Reason.AWAY, f"the trend leads from {level:.6g} towards {end:.6g}")
        beyond = sign * (self._paths + self._ahead[:, None] - limit) >= 0
        reached = np.where(beyond.any(0), beyond.argmax(0) + 1, self.horizon + 1)
        probability = float((reached <= self.horizon).mean())
        early, half, late = np.quantile(reached, (0.5 - LEVEL / 2, 0.5, 0.5 + LEVEL / 2), method="higher").tolist()
        if late <= self.horizon:
            return Estimate(early, half, late, probability)
        bound = self.fit.bound + sign * float((sign * self._ahead).max())
        if sign * (bound - limit) < 0:
            return NoEstimate(Reason.BOUND, f"the damped trend approaches {bound:.6g}", probability)
        return NoEstimate(
            Reason.HORIZON, f"{probability:.0%} of the simulated forecasts reach it within the horizon", probability
        )


def _refusal(history: History, known: FloatArray) -> NoEstimate | None:
    if history.silent_ms:
        return NoEstimate(Reason.GAP, f"no rows in the last {history.silent_ms} ms")
    if len(known) >= MIN_STEPS:
        return None
    if history.gap_ms:
        return NoEstimate(Reason.GAP, f"{len(known)} steps since a gap of {history.gap_ms} ms, {MIN_STEPS} are needed")
    return NoEstimate(Reason.TOO_SHORT, f"{len(known)} steps with a value, {MIN_STEPS} are needed")
