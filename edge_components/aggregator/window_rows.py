"""Rows of closed windows, as columns. Pure."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from edge_components.aggregator.open_windows import OpenWindows
from edge_components.aggregator.window_types import Closed
from wire.model import IntArray

_I, _F = np.zeros(0, np.int64), np.zeros(0)
NO_ROWS = Closed(_I, _I, _I, _I, _F, _F, _F, _F, _I, _I, _I)


def closed_rows(windows: OpenWindows, start_ms: IntArray, width_ms: IntArray, revision: IntArray) -> Closed:
    """Return the rows of windows; those of a window without usable readings are NaN."""
    if not len(windows):
        return NO_ROWS
    std = np.sqrt(windows.m2 / np.maximum(windows.count, 1))
    # The mean must not exceed the extremes by rounding.
    mean = np.minimum(np.maximum(windows.mean, windows.min), windows.max)
    values = [mean, windows.min, windows.max, std]
    empty = windows.count == 0
    if empty.any():
        values = [np.where(empty, np.nan, column) for column in values]
    mean, low, high, std = values
    series_id, count, uncertain, bad = windows.series_id, windows.count, windows.uncertain, windows.bad
    return Closed(series_id, start_ms, width_ms, count, mean, low, high, std, revision, uncertain, bad)


def gap_rows(series_id: IntArray, start_ms: IntArray, width_ms: IntArray) -> Closed:
    """Return rows of count 0."""
    none, zero = np.full(len(series_id), np.nan), np.zeros(len(series_id), np.int64)
    return Closed(series_id, start_ms, width_ms, zero, none, none, none, none, zero, zero, zero)


def merged(one: Closed, other: Closed) -> Closed:
    """Return the rows of both, by series and start."""
    columns = {
        field.name: np.concatenate((getattr(one, field.name), getattr(other, field.name))) for field in fields(one)
    }
    order = np.lexsort((columns["start_ms"], columns["series_id"]))
    return Closed(**{name: column[order] for name, column in columns.items()})
