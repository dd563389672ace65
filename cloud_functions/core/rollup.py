"""Roll-ups: aggregates of aggregates. A gateway's hour is one item with rows of 15 minutes for every series."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from cloud_functions.core import keys
from cloud_functions.core.columns import COLUMNS, decode_rows, encode_rows, merge
from cloud_functions.core.grids import GRIDS
from cloud_functions.core.keys import HOUR_MS
from cloud_functions.core.ports import Item
from wire.model import FLOAT_COLUMNS, Aggregates, FloatArray, IntArray

WIDTH_MS = 900_000
"""Width of the rows of a roll-up."""


def coarsen(rows: Aggregates, width_ms: int) -> Aggregates:
    """Return rows of ``width_ms`` that combine those whose windows start in them, sorted by series and time.

    Counts add up, means are weighted by count, standard deviations are pooled, the score is the highest. Rows without
    readings contribute their score and counts of quality only.
    """
    start = rows.start_ms // width_ms * width_ms
    order = np.lexsort((start, rows.series_index))
    index, start = rows.series_index[order], start[order]
    if not len(order):
        return rows
    begins = np.flatnonzero(np.r_[True, (np.diff(index) != 0) | (np.diff(start) != 0)])
    count = rows.count[order]
    filled = (count > 0) & np.isfinite(rows.mean[order])
    weight = np.where(filled, count, 0).astype(np.float64)
    total = np.add.reduceat(weight, begins)
    mean, std = (np.where(filled, column[order], 0.0) for column in (rows.mean, rows.std))
    with np.errstate(invalid="ignore", divide="ignore"):
        combined = np.add.reduceat(weight * mean, begins) / np.where(total > 0, total, np.nan)
        away = mean - np.repeat(combined, np.diff(np.r_[begins, len(order)]))
        square = np.where(filled, weight * (std**2 + away**2), 0.0)
        pooled = np.sqrt(np.add.reduceat(square, begins) / np.where(total > 0, total, np.nan))
    columns: dict[str, FloatArray | IntArray] = {
        "start_ms": start[begins],
        "width_ms": np.full(len(begins), width_ms, np.int64),
        "count": np.add.reduceat(np.where(filled, count, 0), begins),
        "mean": combined,
        "min": np.fmin.reduceat(np.where(filled, rows.min[order], np.nan), begins),
        "max": np.fmax.reduceat(np.where(filled, rows.max[order], np.nan), begins),
        "std": pooled,
        "score": np.fmax.reduceat(rows.score[order], begins),
        "revision": np.zeros(len(begins), np.int64),
    }
    for name in COLUMNS:
        if name not in columns:
            columns[name] = np.add.reduceat(getattr(rows, name)[order], begins)
    typed = [columns[name].astype(np.float64 if name in FLOAT_COLUMNS else np.int64) for name in COLUMNS]
    return Aggregates(rows.series, index[begins], *typed)  # type: ignore[arg-type]  # in order


def within(rows: Aggregates, from_ms: int, to_ms: int) -> Aggregates:
    """Return the rows whose windows start in [from_ms, to_ms)."""
    return rows.take(np.flatnonzero((rows.start_ms >= from_ms) & (rows.start_ms < to_ms)))


def of_hour(parts: Iterable[Aggregates], hour_ms: int) -> tuple[Aggregates, Aggregates]:
    """Return the merged rows of an hour and their roll-up."""
    rows = merge(within(part, hour_ms, hour_ms + HOUR_MS) for part in parts)
    return rows, coarsen(rows, WIDTH_MS)


def to_item(gateway: str, hour_ms: int, rollup: Aggregates, rows: int, expires_at: int) -> Item:
    """Return the item of a gateway's hour; ``rows`` is the number of rows that it combines.

    Means, standard deviations and scores are rounded to grids that are finer than those of the rows, or else to single
    precision (a series without a resolution).
    """
    key = keys.rollup(gateway, hour_ms)
    rounded: dict[str, Any] = {
        name: GRIDS[name].round(getattr(rollup, name), rollup) for name in ("mean", "std", "score")
    }
    if rounded["mean"] is rollup.mean:
        rounded["mean"] = rollup.mean.astype(np.float32).astype(np.float64)
    return {
        "pk": key.pk,
        "sk": key.sk,
        "kind": "hour",
        "rows": rows,
        "data": encode_rows(replace(rollup, **rounded)),
        "expires_at": expires_at,
    }


def from_item(item: Item) -> tuple[int, Aggregates]:
    """Return the hour of an item and its rows; raises CloudError for a damaged one."""
    return int(str(item["sk"])), decode_rows(bytes(item["data"]))  # type: ignore[arg-type]
