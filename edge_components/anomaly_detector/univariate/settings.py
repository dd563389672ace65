"""How far back each expert looks, in windows, and what a detector is set to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

LAGS = 96
"""The most lags the forecaster has; the model file is written for as many, and one constant term."""


@dataclass(frozen=True, slots=True)
class Spans:
    """Windows that each expert looks over; longer calibrations afford longer looks.

    ``level`` (a shift is held against twice as many before), ``step`` and ``short_step`` (each of two halves),
    ``spike`` (median of the former), ``noise``, ``lags`` (forecaster), ``errors`` and ``season_errors`` (over which
    errors are averaged), ``block`` (of a record). ``trend`` is whether errors are cumulated: after a short calibration
    drift is seen by nothing else, and so few windows have no quartiles; after a long one level and shift see it, and
    what cumulates is how little the forecast fits in the long run.
    """

    level: int
    step: int
    short_step: int
    spike: int
    noise: int
    lags: int
    errors: int
    season_errors: int
    block: int
    trend: bool

    @classmethod
    def of(cls, calibration: int) -> Self:
        """Return the spans for a calibration of so many windows."""
        return cls(
            level=_within(calibration // 5, 4, 30),
            step=_within(calibration // 6, 3, 24),
            short_step=_within(calibration // 12, 2, 12),
            spike=_within(calibration // 4, 5, 11),
            noise=_within(calibration // 4, 5, 30),
            lags=_within(calibration // 6, 2, LAGS),
            errors=_within(calibration // 8, 2, 6),
            season_errors=24,
            block=max(4, calibration // 3),
            trend=calibration < 120,
        )

    @property
    def history(self) -> int:
        """How many windows must be kept."""
        return 1 + max(3 * self.level, 2 * self.step, self.spike, self.lags)


def _within(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))


@dataclass(frozen=True, slots=True)
class Settings:
    """What a detector is set to; lengths in windows.

    ``calibration`` first windows of a series set its scale; ``false_alarms_per_month`` and series is what the alarm
    level 1.0 stands for (None: what the length of calibration gives of itself, about one in eight of it); an anomaly
    ends below ``end_level`` for ``end_windows``; it is reported again each ``update_windows``; after ``drift_windows``
    it ends as drift and the series is calibrated on its last windows; silence counts from ``gap_windows``; ``season``
    is the windows of a day, 0 where days are not looked at; ``together`` series share the rate of false alarms.
    """

    calibration: int = 60
    false_alarms_per_month: float | None = 1.0
    end_level: float = 0.7
    end_windows: int = 5
    update_windows: int = 60
    drift_windows: int = 3600
    gap_windows: int = 3
    season: int = 0
    together: int = 1

    @property
    def spans(self) -> Spans:
        """The experts' spans."""
        return Spans.of(self.calibration)
