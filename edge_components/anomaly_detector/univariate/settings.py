"""Settings of the univariate detector, and the lengths that follow from them, in windows."""

from __future__ import annotations

from dataclasses import dataclass

MAX_LAGS = 96
"""Maximum number of lags of the forecaster; the model file has this number of inputs and one constant term."""
LONG_CALIBRATION = 120
MARGIN, UNSET_MARGIN = 0.3, 0.6
"""Margins of records if a rate of false alarms is configured, and if none is. With the first the configured rate is
met; the second was chosen by leave-one-group-out on recorded tables."""


def bounded(value: int, low: int, high: int) -> int:
    """Return ``value`` within ``low`` and ``high``."""
    return max(low, min(high, value))


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a detector; lengths in windows.

    The first ``calibration`` windows of a series set its scale. ``false_alarms_per_month`` is the rate per series that
    the alarm level 1.0 corresponds to (None: about one alarm in 4.5 lengths of calibration). An anomaly
    ends when its score stays below ``end_level`` for ``end_windows``; it is reported again each ``update_windows``;
    after ``drift_windows`` it ends as drift and the series is calibrated on its last windows. ``gap_windows`` missing
    windows are a gap. ``season`` is the number of windows in a day, 0 to disable the comparison with previous days;
    ``together`` series share the rate of false alarms.
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
    def lags(self) -> int:
        """Lookback of the forecaster."""
        return bounded(self.calibration // 6, 2, MAX_LAGS)

    @property
    def block(self) -> int:
        """Length of a block of which each statistic's maximum is recorded."""
        return max(4, self.calibration // 3)

    @property
    def is_long(self) -> bool:
        """True if the calibration is long enough for quartiles of the level; otherwise forecast errors are cumulated.

        After a short calibration nothing else detects drift. After a long one the level experts do, and the cumulated
        errors would measure the misfit of the forecaster.
        """
        return self.calibration >= LONG_CALIBRATION

    @property
    def margin(self) -> float:
        """Margin of a record, over the root of the number of blocks seen."""
        return UNSET_MARGIN if self.false_alarms_per_month is None else MARGIN
