"""The last windows of each series, which it is calibrated on, and where it stands in time. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import BoolArray, Columns, FloatArray, IntArray, column
from edge_components.anomaly_detector.univariate.experts import Windows


@dataclass(slots=True)
class Collected(Columns):
    """The last windows of each series, in a ring, and where it stands in time."""

    rows: FloatArray = column(np.nan)
    kept: IntArray = column(0, np.int64)
    calibrated: BoolArray = column(False, np.bool_)
    last_ms: IntArray = column(np.iinfo(np.int64).min, np.int64)
    longest_gap: IntArray = column(0, np.int64)

    def keep(self, rows: IntArray, windows: Windows) -> None:
        """Put a window of some series into their rings."""
        packed = np.stack([getattr(windows, name) for name in Windows.__slots__], axis=1)
        self.rows[rows, self.kept[rows] % self.rows.shape[1]] = packed
        self.kept[rows] += 1

    def in_order(self, rows: IntArray) -> FloatArray:
        """Return the rings of some series [n, windows, columns of Windows], oldest first; NaN where none is yet."""
        size = self.rows.shape[1]
        order = (self.kept[rows][:, None] + np.arange(size)) % size
        return np.take_along_axis(self.rows[rows], order[:, :, None], axis=1)

    def note_gaps(self, rows: IntArray, start_ms: int, width_ms: int) -> None:
        """Take note of the time of a window of some series, and of the longest gap before it while calibrating."""
        first = self.last_ms[rows] < 0
        gap = np.where(first, 0, (start_ms - self.last_ms[rows]) // max(width_ms, 1))
        longest = self.longest_gap[rows]
        self.longest_gap[rows] = np.where(self.calibrated[rows], longest, np.maximum(longest, gap - 1))
        self.last_ms[rows] = start_ms
