"""Merging of aggregates into wider windows, by which a full spool frees space. Pure."""

from __future__ import annotations

import numpy as np

from wire.model import Aggregates


def coarsen(rows: Aggregates, factor: int) -> Aggregates:
    """Return one row for each series and window of ``factor`` times the width, aligned to the epoch.

    Counts add up, the mean is weighted by count, the standard deviation is pooled (Chan, Golub, LeVeque 1983), minimum,
    maximum and score keep the extreme. Windows without readings (count 0) do not affect a wider window with readings.
    """
    if len(rows) == 0:
        return rows
    width = rows.width_ms * factor
    start = rows.start_ms - rows.start_ms % width
    order = np.lexsort((start, width, rows.series_index))
    series, start, width = rows.series_index[order], start[order], width[order]
    new = np.ones(len(rows), bool)
    new[1:] = (np.diff(series) != 0) | (np.diff(start) != 0) | (np.diff(width) != 0)
    first = np.flatnonzero(new)

    count = rows.count[order]
    weight = count.astype(np.float64)
    total = np.add.reduceat(weight, first)
    # The mean of a window without readings is NaN and must not enter the sum.
    known = np.where(count > 0, rows.mean[order], 0.0)
    divisor = np.maximum(total, 1.0)
    mean = np.add.reduceat(known * weight, first) / divisor
    group = np.cumsum(new) - 1
    squares = weight * (np.where(count > 0, rows.std[order], 0.0) ** 2 + (known - mean[group]) ** 2)
    std = np.sqrt(np.add.reduceat(np.where(count > 0, squares, 0.0), first) / divisor)
    empty = total == 0
    return Aggregates(
        rows.series,
        series[first],
        start[first],
        width[first],
        np.add.reduceat(count, first),
        np.where(empty, np.nan, mean),
        np.fmin.reduceat(rows.min[order], first),
        np.fmax.reduceat(rows.max[order], first),
        np.where(empty, np.nan, std),
        np.fmax.reduceat(rows.score[order], first),
        np.maximum.reduceat(rows.revision[order], first),
        np.add.reduceat(rows.uncertain[order], first),
        np.add.reduceat(rows.bad[order], first),
    )
