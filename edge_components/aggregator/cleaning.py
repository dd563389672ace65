"""Grading of readings: those not used are counted, each under the first reason that applies. Pure, columnar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from edge_components.aggregator.deadband import DeadbandFilter, Deadbands
from edge_components.aggregator.grade import WITHIN_DEADBAND, Grade
from edge_components.aggregator.plausibility import PlausibilityChecks, SeriesLimits
from edge_components.aggregator.window_types import BoolArray
from edge_components.common.wall_clock import is_set
from wire.limits import MAX_VALUE
from wire.model import ByteArray, FloatArray, IntArray, Quality

_BAD = int(Quality.BAD)
END_OF_TIME_MS = 253_402_300_800_000
"""The year 10000: later times do not fit a window's key."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Readings as columns: ``series_id`` int64[n], ``time_ms`` int64[n], ``value`` float64[n], ``quality`` uint8[n]."""

    series_id: IntArray
    time_ms: IntArray
    value: FloatArray
    quality: ByteArray

    def __len__(self) -> int:
        return len(self.time_ms)

    def keep(self, mask: BoolArray) -> Columns:
        """Return the rows where ``mask`` is true."""
        if bool(mask.all()):
            return self
        return Columns(self.series_id[mask], self.time_ms[mask], self.value[mask], self.quality[mask])


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules for usable readings, besides finite values and possible times."""

    max_future_ms: int = 86_400_000
    drop_bad_quality: bool = True
    drop_duplicates: bool = True


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Readings with a possible time, each with its :class:`Grade`, and the numbers of those that are not used.

    ``dropped`` gives the number of unused readings by reason, of which those with a possible time are in ``columns``;
    ``stuck`` is the number of readings that are uncertain because their value does not change.
    """

    columns: Columns
    dropped: Mapping[str, int]
    stuck: int = 0


class Cleaner:
    """Application of the rules to readings."""

    def __init__(self, rules: Rules, deadbands: Deadbands | None = None) -> None:
        self.rules = rules
        self.checks = PlausibilityChecks()
        self.deadbands = DeadbandFilter(deadbands or {})

    def assign(self, series_id: int, name: str) -> None:
        """Reset the state of a series id, which is given to a series or has another description."""
        self.checks.reset(series_id)
        self.deadbands.assign(series_id, name)

    def clean(
        self, columns: Columns, low: FloatArray, high: FloatArray, now_ms: int, limits: SeriesLimits | None = None
    ) -> Cleaned:
        """Grade readings and remove those with an impossible time.

        ``low`` and ``high`` give the range of each series id (inclusive); ``now_ms`` is the gateway's clock.
        """
        dropped: dict[str, int] = {}
        value, time_ms, series_id = columns.value, columns.time_ms, columns.series_id
        with np.errstate(invalid="ignore"):
            unusable = {
                "rejected_not_finite": ~np.isfinite(value),
                "rejected_range": (value < low[series_id]) | (value > high[series_id]) | (np.abs(value) > MAX_VALUE),
            }
        untimely = {"rejected_time": (time_ms < 0) | (time_ms >= END_OF_TIME_MS)}
        if is_set(now_ms):
            untimely["rejected_future"] = time_ms > now_ms + self.rules.max_future_ms
        bad = columns.quality >= _BAD
        if self.rules.drop_bad_quality:
            unusable["rejected_bad_quality"] = bad
        used = np.ones(len(columns), np.bool_)
        for reason, mask in (unusable | untimely).items():
            self._drop(reason, mask, used, dropped)
        stuck = self._check(columns, used, limits, dropped)
        if used.all() and not bad.any() and not stuck.any():
            return Cleaned(self._within_deadbands(columns), dropped)
        quality = np.where(bad, np.uint8(Grade.BAD_USED), columns.quality)
        quality[stuck & ~bad] = Grade.UNCERTAIN
        quality[~used] = Grade.UNUSABLE
        large = ~used & ~(np.abs(value) <= MAX_VALUE)
        graded = replace(columns, value=np.where(large, 0.0, value) if large.any() else value, quality=quality)
        timely = ~np.logical_or.reduce(list(untimely.values()))
        return Cleaned(self._within_deadbands(graded.keep(timely)), dropped, int(np.count_nonzero(stuck)))

    def _within_deadbands(self, columns: Columns) -> Columns:
        """Mark the readings within their series' deadband."""
        if not self.deadbands:
            return columns
        within = self.deadbands.within(columns.series_id, columns.time_ms, columns.value, columns.quality)
        return replace(columns, quality=columns.quality | (within * np.uint8(WITHIN_DEADBAND)))

    def _check(
        self, columns: Columns, used: BoolArray, limits: SeriesLimits | None, dropped: dict[str, int]
    ) -> BoolArray:
        """Drop readings that changed too fast, and return a mask of those with a stuck value."""
        stuck = np.zeros(len(columns), np.bool_)
        if limits is None or not used.any():
            return stuck
        rows = np.flatnonzero(used)
        fast, still = self.checks.check(columns.series_id[rows], columns.time_ms[rows], columns.value[rows], limits)
        stuck[rows[still]] = True
        too_fast = np.zeros(len(columns), np.bool_)
        too_fast[rows[fast]] = True
        self._drop("rejected_too_fast", too_fast, used, dropped)
        return stuck

    @staticmethod
    def _drop(reason: str, mask: BoolArray, kept: BoolArray, dropped: dict[str, int]) -> None:
        count = int(np.count_nonzero(mask & kept))
        if count:
            dropped[reason] = count
            kept &= ~mask
