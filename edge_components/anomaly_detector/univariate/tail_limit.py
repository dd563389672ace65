"""The tail of a statistic, from the greatest values of many short blocks, which a few outliers do not change.

Pure. The tail is assumed to be that of a Weibull distribution: the logarithm of a value is linear in its depth, which
is the logarithm of minus the logarithm of the probability of a greater value. The quartiles of the blocks' greatest
values determine the line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edge_components.anomaly_detector.columns import FloatArray, IntArray

BLOCKS, SHORTEST_BLOCK = 32, 8
"""Number of blocks whose greatest values are in memory, and minimum number of windows in a block."""
QUARTILES = np.array([0.25, 0.5, 0.75])
USUAL = 4
"""Values that more than three blocks exceed are usual."""
FORGOTTEN = 0.02
"""Decrease of the logarithm of the greatest usual value for each block, at most: it halves in about a calibration."""
SHARE = 0.003
"""Part of the configured rate of false alarms."""


@dataclass(frozen=True, slots=True)
class Tail:
    """The tail of one statistic; ``block`` is the number of its values in a block."""

    block: int

    @classmethod
    def of(cls, windows: int) -> Tail:
        """Return the tail of a statistic that the calibration has for this number of windows."""
        return cls(max(SHORTEST_BLOCK, windows // BLOCKS))

    def split(self, values: FloatArray) -> list[FloatArray]:
        """Return the blocks of ``values`` [windows, ...] of the calibration, at least as many as determine the usual
        value."""
        return np.array_split(values, max(USUAL, min(BLOCKS, len(values) // self.block)))

    def count_window(self, windows: IntArray) -> IntArray:
        """Count a window of all series in their current blocks' ``windows`` [n], and return those whose block is
        full; the next one begins."""
        windows += 1
        full = np.flatnonzero(windows >= self.block)
        windows[full] = 0
        return full

    def fit(self, logs: FloatArray, assumed: float) -> tuple[FloatArray, FloatArray]:
        """Return location and slope of the line [n] from the logarithms of the blocks' greatest values ``logs``
        [n, BLOCKS], NaN for blocks that have not been seen; each of those counts with the slope ``assumed``."""
        ordered = np.sort(logs, axis=1)  # NaN is last
        seen = np.isfinite(logs).sum(axis=1)
        each, at = np.arange(len(logs)), QUARTILES[:, None] * (seen - 1)
        below = at.astype(np.int64)
        low, high = ordered[each, below], ordered[each, np.minimum(below + 1, seen - 1)]
        first, middle, third = low + (at - below) * (high - low)
        depths = [self.depth(quantile) for quantile in QUARTILES.tolist()]
        estimated = (third - first) / (depths[2] - depths[0])
        slope = (seen * estimated + (BLOCKS - seen) * assumed) / BLOCKS
        return middle - depths[1] * slope, slope

    def depth(self, quantile: float) -> float:
        """Return the depth of the value that is a quantile of the blocks' greatest ones."""
        return float(np.log(-np.log(-np.expm1(np.log(quantile) / self.block))))


def close_block(greatest: FloatArray, current: FloatArray, full: IntArray) -> None:
    """Append the greatest value of the ``current`` block [n, ...] of some series to those of their last blocks,
    ``greatest`` [n, ..., BLOCKS]."""
    greatest[full, ..., :-1] = greatest[full, ..., 1:]
    greatest[full, ..., -1] = current[full]
    current[full] = 0.0


def first_blocks(blocks: Sequence[FloatArray]) -> FloatArray:
    """Return the value that is farthest from zero in each block [windows], NaN for the blocks not seen yet
    [BLOCKS]."""
    greatest = np.full(BLOCKS, np.nan)
    greatest[-len(blocks) :] = [block[np.abs(block).argmax()] for block in blocks]
    return greatest


def usual_value(logs: FloatArray, before: FloatArray, multiple: float) -> FloatArray:
    """Return the logarithm of ``multiple`` times the greatest usual value [n, ...], which falls slowly from the one
    ``before`` [n, ...]; ``logs`` [n, ..., BLOCKS] as in :meth:`Tail.fit`."""
    seen = np.isfinite(logs).sum(axis=-1, keepdims=True)
    usual = np.take_along_axis(np.sort(logs, axis=-1), seen - USUAL, axis=-1)[..., 0]  # NaN is last
    return np.asarray(np.maximum(usual + np.log(multiple), before - FORGOTTEN), np.float64)


def rare_depth(windows_between_alarms: float) -> float:
    """Return the depth of a value that is exceeded once in ``windows_between_alarms``, for the share of this rate."""
    return float(np.log(np.log(max(10.0, windows_between_alarms / SHARE))))


class BlockedState(Protocol):
    """State of a statistic [n, ...] whose limit is a multiple of its greatest usual value: the ``greatest`` of the last
    blocks [n, ..., BLOCKS], NaN for blocks not seen, and of the ``current`` one, its ``windows`` [n], and the logarithm
    of the limit (``usual``)."""

    greatest: FloatArray
    current: FloatArray
    windows: IntArray
    usual: FloatArray


@dataclass(frozen=True, slots=True)
class UsualLimit:
    """A limit at a ``multiple`` of the greatest usual value; values below the ``smallest`` count as this."""

    tail: Tail
    multiple: float
    smallest: float

    def begin(self, state: BlockedState) -> None:
        """Set the limits from the blocks of the calibration."""
        state.current[:], state.windows[:], state.usual[:] = 0.0, 0, -np.inf
        self._set(state, np.arange(len(state.windows)))

    def record(self, state: BlockedState, values: FloatArray) -> None:
        """Record the values [n, ...] of a window, and set the limits again after a block."""
        state.current = np.maximum(state.current, values)
        full = self.tail.count_window(state.windows)
        if len(full):
            close_block(state.greatest, state.current, full)
            self._set(state, full)

    def _set(self, state: BlockedState, rows: IntArray) -> None:
        logs = np.log(np.maximum(state.greatest[rows], self.smallest))
        state.usual[rows] = usual_value(logs, state.usual[rows], self.multiple)
