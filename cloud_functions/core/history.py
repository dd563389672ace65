"""History of a series on a regular grid, since its last long gap, as the input of a forecast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wire.limits import MAX_VALUE

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MAX_STEPS, MIN_STEPS = 240, 24
LONG_GAP_ROWS, LONG_GAP_SHARE = 10, 0.05
"""Minimum length of a long gap: as a multiple of the usual interval, and as a fraction of the whole time range."""


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """``values`` float64[n]: the mean of each step of ``step_ms``, NaN without a row; the last ends at ``end_ms``.

    ``gap_ms`` is the length of the long gap before it, 0 without one; ``silent_ms`` the time since its last row, 0 if
    that is not a long gap; ``rows`` the number of its rows.
    """

    values: FloatArray
    step_ms: int
    end_ms: int
    rows: int
    gap_ms: int
    silent_ms: int

    @property
    def start_ms(self) -> int:
        """Start of the first step."""
        return self.end_ms - self.step_ms * len(self.values)

    @property
    def last(self) -> float:
        """The last known mean."""
        return float(self.values[np.isfinite(self.values)][-1])


def history(
    start_ms: IntArray, width_ms: IntArray, count: IntArray, mean: FloatArray, now_ms: int | None = None
) -> History | None:
    """Return the rows' history, in any order of rows, or None where no row has a value and readings.

    Rows are the windows of one series: start and width in ms, readings, mean. ``now_ms`` is until when rows could have
    come; without it the last one's end. Steps are as long as the rows' usual interval, longer where there would be
    more than ``MAX_STEPS``; means are weighed by readings.
    """
    usable = (np.abs(mean) <= MAX_VALUE) & (count > 0)
    order = np.argsort(start_ms[usable], kind="stable")
    start, width = start_ms[usable][order], width_ms[usable][order]
    weight, value = count[usable][order].astype(np.float64), mean[usable][order]
    if not len(start):
        return None
    end = int((start + width).max())
    between = np.diff(start)
    usual = float(np.median(between[between > 0])) if (between > 0).any() else float(max(1, width[0]))
    long = max(LONG_GAP_ROWS * usual, LONG_GAP_SHARE * (end - int(start[0])))
    cuts = np.flatnonzero(between > long)
    since = int(cuts[-1]) + 1 if len(cuts) else 0
    gap = int(between[cuts[-1]]) if len(cuts) else 0
    silent = 0 if now_ms is None or now_ms - end <= long else now_ms - end
    start, width, weight, value = start[since:], width[since:], weight[since:], value[since:]
    span = max(1, end - int(start[0]))
    step = max(1, round(usual), -(-span // MAX_STEPS))
    n = -(-span // step)
    # Counted back from the end, so that the last step is complete; a window is assigned by its middle.
    step_index = n - 1 - np.clip((end - (start + width // 2) - 1) // step, 0, n - 1)
    total = np.bincount(step_index, weights=weight, minlength=n)
    with np.errstate(invalid="ignore"):
        values = np.bincount(step_index, weights=weight * value, minlength=n) / np.where(total > 0, total, np.nan)
    return History(values, step, end, len(start), gap, silent)
