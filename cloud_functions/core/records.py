"""Records: one series' rows of one batch as stored in the cloud.

A record never crosses midnight UTC, so a query from a given time starts at the beginning of that day and misses no
row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cloud_functions.core.columns import COLUMNS, INTEGERS, encode_columns
from cloud_functions.core.errors import Reason, RejectError
from cloud_functions.core.keys import MAX_TIME_MS
from wire.model import Aggregates, Quality, Readings, Series

DAY_MS = 86_400_000
MAX_COLUMNS_BYTES = 350_000
"""Below DynamoDB's 400 KB an item, keys and the other attributes included."""


@dataclass(frozen=True, slots=True)
class Record:
    """One series' rows of one batch and day, in order of time; ``first_ms`` and ``last_ms`` are window starts."""

    series: Series
    first_ms: int
    last_ms: int
    rows: int
    columns: bytes


def records_of(rows: Aggregates) -> Iterator[Record]:
    """Yield the records that keep ``rows``; the same rows give the same records.

    Raises RejectError: time for a window outside 1970 to 2286, size for a record above ``MAX_COLUMNS_BYTES``.
    """
    _check_times(rows)
    names: dict[str, int] = {}
    # A directory that names a series twice must not make two records under one key.
    place = np.array([names.setdefault(series.name, at) for at, series in enumerate(rows.series)], np.int64)
    of_series = place[rows.series_index] if len(rows) else rows.series_index
    order = np.lexsort((rows.start_ms, of_series))
    index, day = of_series[order], rows.start_ms[order] // DAY_MS
    cuts = np.flatnonzero((np.diff(index) != 0) | (np.diff(day) != 0)) + 1
    for part in np.split(order, cuts) if len(order) else ():
        group = rows.take(part)
        series = rows.series[int(place[group.series_index[0]])]
        columns = encode_columns(group, series)
        if len(columns) > MAX_COLUMNS_BYTES:
            raise RejectError(Reason.SIZE, f"series {series.name}: {len(columns)} bytes, at most {MAX_COLUMNS_BYTES}")
        yield Record(series, int(group.start_ms[0]), int(group.start_ms[-1]), len(group), columns)


def _check_times(rows: Aggregates) -> None:
    if len(rows) == 0:
        return
    # Compared one by one: the sum of two int64 may wrap around.
    wrong = (
        (rows.start_ms < 0) | (rows.width_ms < 0) | (rows.start_ms > MAX_TIME_MS - np.minimum(rows.width_ms, DAY_MS))
    )
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        name = rows.series[int(rows.series_index[at])].name
        raise RejectError(
            Reason.TIME, f"series {name}: window at {int(rows.start_ms[at])} ms is not in 0 to {MAX_TIME_MS} ms"
        )


def aggregates_of(readings: Readings) -> Aggregates:
    """Return readings as windows of one millisecond that hold one reading each; bad ones are left out."""
    kept = (readings.quality != Quality.BAD) & np.isfinite(readings.value)
    value, n = readings.value[kept], int(kept.sum())
    ones = np.ones(n, np.int64)
    return Aggregates(
        readings.series,
        readings.series_index[kept],
        readings.time_ms[kept],
        ones,
        ones,
        value,
        value,
        value,
        np.zeros(n),
        np.full(n, np.nan),
    )


def join(parts: list[Aggregates]) -> Aggregates:
    """Return the rows of several records as one, with the directories of series put together."""
    directory: dict[Series, int] = {}
    for part in parts:
        for series in part.series:
            directory.setdefault(series, len(directory))
    index = [np.array([directory[s] for s in part.series], np.int64)[part.series_index] for part in parts]
    columns = [np.concatenate([getattr(part, name) for part in parts] or [np.empty(0)]) for name in COLUMNS]
    first = np.concatenate(index) if index else np.empty(0, np.int64)
    typed = [c.astype(np.int64 if n in INTEGERS else np.float64) for n, c in zip(COLUMNS, columns, strict=True)]
    return Aggregates(tuple(directory), first.astype(np.int64), *typed)
