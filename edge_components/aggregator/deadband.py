"""Deadband (report by exception): readings close to the one reported last. Pure.

A reading is reported when it is the first of its series, when its value differs from that of the reading reported last
by more than ``change``, when its grade is another one, or when the time since that reading has reached
``max_silence_ms``. The values of unusable readings are not compared. The other readings are within the deadband. Late
readings, which are older than the newest one of their series, are reported.

The state is not kept over a restart: the first reading of a series is reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_components.aggregator.grade import Grade
from edge_components.aggregator.window_types import BoolArray
from edge_components.common.patterns import longest_match
from wire.model import ByteArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Deadband:
    """Greatest change of a value that is not reported, in the series' unit, and the longest time without a report."""

    change: float
    max_silence_ms: int


Deadbands = Mapping[str, Deadband]
"""Deadbands by a glob over series' names."""


@dataclass(slots=True)
class _Reported:
    """The reading of a series that was reported last, and the time of its newest reading."""

    deadband: Deadband
    time_ms: int
    value: float
    grade: int
    newest_ms: int


class DeadbandFilter:
    """The reading reported last of each series with a deadband."""

    def __init__(self, deadbands: Deadbands) -> None:
        self._deadbands = deadbands
        self._names: dict[int, str] = {}
        self._active = np.zeros(0, np.bool_)
        self._by_id: dict[int, Deadband] = {}
        self._reported: dict[int, _Reported] = {}

    def __bool__(self) -> bool:
        """Return whether a series has a deadband."""
        return bool(self._by_id)

    def assign(self, series_id: int, name: str) -> None:
        """Give a series id the deadband of the series with this name, whose next reading is reported."""
        self._names[series_id] = name
        self._reported.pop(series_id, None)
        self._set(series_id, name)

    def configure(self, deadbands: Deadbands) -> None:
        """Apply other deadbands."""
        self._deadbands = deadbands
        for series_id, name in self._names.items():
            self._set(series_id, name)

    def within(self, series_id: IntArray, time_ms: IntArray, value: FloatArray, grade: ByteArray) -> BoolArray:
        """Return a mask of the readings within the deadband. Readings of a batch are compared in the order of time."""
        mask = np.zeros(len(series_id), np.bool_)
        rows = np.flatnonzero(self._active[series_id])
        rows = rows[np.argsort(time_ms[rows], kind="stable")]
        columns = (column[rows].tolist() for column in (series_id, time_ms, value, grade))
        mask[rows] = [self._is_within(*row) for row in zip(*columns, strict=True)]
        return mask

    def _is_within(self, series_id: int, time_ms: int, value: float, grade: int) -> bool:
        last = self._reported.get(series_id)
        if last is None:
            self._reported[series_id] = _Reported(self._by_id[series_id], time_ms, value, grade, time_ms)
            return False
        if time_ms < last.newest_ms:
            return False
        last.newest_ms = time_ms
        deadband = last.deadband
        close = grade == Grade.UNUSABLE or abs(value - last.value) <= deadband.change
        if close and grade == last.grade and time_ms - last.time_ms < deadband.max_silence_ms:
            return True
        last.time_ms, last.value, last.grade = time_ms, value, grade
        return False

    def _set(self, series_id: int, name: str) -> None:
        if series_id >= len(self._active):
            self._active = np.append(self._active, np.zeros(max(64, series_id + 1), np.bool_))
        glob = longest_match(name, self._deadbands)
        self._active[series_id] = glob is not None
        if glob is None:
            self._by_id.pop(series_id, None)
            self._reported.pop(series_id, None)
            return
        self._by_id[series_id] = self._deadbands[glob]
        if series_id in self._reported:
            self._reported[series_id].deadband = self._deadbands[glob]
