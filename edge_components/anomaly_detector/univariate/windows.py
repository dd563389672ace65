"""Windows as columns, and the last windows of each series, on which it is calibrated. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import BoolArray, Columns, FloatArray, IntArray, column
from wire.limits import MAX_VALUE


@dataclass(slots=True)
class Windows:
    """One window of n series, each column [n]: mean, minimum, maximum, spread (std), count of readings, time slot.

    A time slot is the window's number since the epoch.
    """

    mean: FloatArray
    low: FloatArray
    high: FloatArray
    spread: FloatArray
    count: FloatArray
    slot: FloatArray

    def take(self, index: IntArray | BoolArray) -> Windows:
        """Return some of the series."""
        return Windows(*(getattr(self, name)[index] for name in self.__slots__))

    def clipped(self) -> Windows:
        """Return the windows with all values within plus and minus ``MAX_VALUE``."""
        return Windows(*(np.clip(getattr(self, name), -MAX_VALUE, MAX_VALUE) for name in self.__slots__))


MEAN, COUNT, SLOT = (Windows.__slots__.index(name) for name in ("mean", "count", "slot"))
"""Columns of a calibration window."""


STORED_WIDTH = "collected.width_ms"
"""Storage name of the length of each series' last window; earlier versions saved one length for all series."""


@dataclass(slots=True)
class CalibrationWindows(Columns):
    """The last windows of each series, in a ring, and its position in time.

    ``ring`` [series, windows, columns of Windows], ``count`` of windows so far, ``calibrated``, ``last_ms`` the start
    of the last window, ``longest_gap`` in windows while calibrating, ``width_ms`` the length of the last window.
    """

    ring: FloatArray = column("collected.rows", np.nan)
    count: IntArray = column("collected.kept", 0, np.int64)
    calibrated: BoolArray = column("collected.calibrated", False, np.bool_)
    last_ms: IntArray = column("collected.last_ms", np.iinfo(np.int64).min, np.int64)
    longest_gap: IntArray = column("collected.longest_gap", 0, np.int64)
    width_ms: IntArray = column(STORED_WIDTH, 1, np.int64)

    def append(self, rows: IntArray, windows: Windows) -> None:
        """Append a window of some series to their rings."""
        packed = np.stack([getattr(windows, name) for name in Windows.__slots__], axis=1)
        self.ring[rows, self.count[rows] % self.ring.shape[1]] = packed
        self.count[rows] += 1

    def in_order(self, rows: IntArray) -> FloatArray:
        """Return the rings of some series [n, windows, columns of Windows], oldest first, NaN where not filled yet."""
        size = self.ring.shape[1]
        order = (self.count[rows][:, None] + np.arange(size)) % size
        return np.take_along_axis(self.ring[rows], order[:, :, None], axis=1)

    def advance(self, rows: IntArray, start_ms: int, width_ms: int) -> None:
        """Record the time of a window of some series, and the longest gap before it while calibrating."""
        first = self.last_ms[rows] < 0
        gap = np.where(first, 0, (start_ms - self.last_ms[rows]) // max(width_ms, 1))
        longest = self.longest_gap[rows]
        self.longest_gap[rows] = np.where(self.calibrated[rows], longest, np.maximum(longest, gap - 1))
        self.last_ms[rows], self.width_ms[rows] = start_ms, width_ms
