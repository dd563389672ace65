"""Queries of the API for the rows of a series."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from cloud_functions.core import keys, paging
from cloud_functions.core.catalogue import series_from
from cloud_functions.core.columns import COLUMNS
from cloud_functions.core.errors import NotFoundError, RequestError
from cloud_functions.core.gateways import check_name
from cloud_functions.core.history_reader import Archived, HistoryReader
from cloud_functions.core.keys import HOUR_MS
from cloud_functions.core.parameters import choice, count, moment
from cloud_functions.core.ports import Table
from cloud_functions.core.profiles import RAW_MS
from cloud_functions.core.rollup import WIDTH_MS
from wire.codec import Profiles
from wire.errors import ModelError
from wire.model import Series

MAX_ROWS, DEFAULT_ROWS = 20_000, 5_000
DAY_MS = 86_400_000
_UNKNOWN = "\n"
"""Text of an unknown unit in a cursor: not printable, so it is not a unit."""


class Resolution(StrEnum):
    """Width of the rows of an answer."""

    RAW = "raw"
    """Unmodified rows; those older than ``RawDays`` are read from the archive."""
    QUARTER = "15m"
    HOUR = "1h"
    DAY = "1d"


WIDTHS = {Resolution.QUARTER: WIDTH_MS, Resolution.HOUR: HOUR_MS, Resolution.DAY: DAY_MS}
_LONGEST = {Resolution.RAW: 3 * HOUR_MS, Resolution.QUARTER: 1_000 * WIDTH_MS, Resolution.HOUR: 1_000 * HOUR_MS}
"""Longest time range for which ``auto`` selects a resolution: about 1,000 rows."""


@dataclass(frozen=True, slots=True)
class Span:
    """Requested rows: windows that start in [from_ms, to_ms), at most ``limit`` of them, of ``resolution``.

    ``unit`` selects the rows of a series whose unit changed; None is the unit of the newest row. ``skip`` rows that
    start at ``from_ms`` were on the page before. ``scope`` binds the cursors to the parameters.
    """

    from_ms: int
    to_ms: int
    limit: int
    resolution: Resolution
    unit: str | None
    skip: int = 0
    scope: str = ""

    def cursor(self, start_ms: int, skip: int, unit: str | None) -> str:
        """Return the cursor of the page that begins after ``skip`` rows of ``start_ms``."""
        text = _UNKNOWN if unit is None else unit
        return paging.encode(self.scope, start_ms, skip, self.to_ms, str(self.resolution), text)


def read_span(query: Mapping[str, str], now_ms: int, raw_ms: int = RAW_MS) -> Span:
    """Read ``from``, ``to``, ``limit``, ``resolution``, ``unit`` and ``cursor``; raises RequestError.

    ``auto``, the default resolution, selects the finest that gives at most about 1,000 rows and is still stored. A
    cursor keeps the range, the resolution and the unit of the first page.
    """
    problems: list[str] = []
    to_ms = moment(query, "to", now_ms, problems)
    from_ms = moment(query, "from", max(0, to_ms - HOUR_MS), problems)
    limit = count(query, "limit", DEFAULT_ROWS, MAX_ROWS, problems)
    if not problems and from_ms >= to_ms:
        problems.append(f"from: {from_ms} is not before to, {to_ms}")
    text = choice(query, "resolution", ("auto", *Resolution), "auto", problems)
    if problems:
        raise RequestError(problems)
    scope = paging.scope_of("aggregates", query)
    cursor = query.get("cursor")
    if cursor is not None:
        start_ms, skip, end_ms, width, unit = paging.decode(cursor, scope, int, int, int, str, str)
        if not 0 <= start_ms < end_ms <= keys.MAX_TIME_MS or skip < 0 or width not in tuple(Resolution):
            raise RequestError([f"cursor: {cursor[:80]!r}: the value of next of the page before"])
        return Span(start_ms, end_ms, limit, Resolution(width), None if unit == _UNKNOWN else unit, skip, scope)
    resolution = _automatic(from_ms, to_ms, now_ms - raw_ms) if text == "auto" else Resolution(text)
    return Span(from_ms, to_ms, limit, resolution, query.get("unit"), scope=scope)


def _automatic(from_ms: int, to_ms: int, oldest_ms: int) -> Resolution:
    for resolution, longest in _LONGEST.items():
        if to_ms - from_ms <= longest and not (resolution is Resolution.RAW and from_ms < oldest_ms):
            return resolution
    return Resolution.DAY


def aggregates(
    telemetry: Table,
    profiles: Profiles,
    gateway_name: str,
    series_name: str,
    span: Span,
    archived: Archived | None = None,
) -> dict[str, Any]:
    """Return at most ``limit`` rows of a series by window start, as columns; ``next`` is present when more exist.

    ``other_units`` counts rows of the series in other units than ``unit``. ``unreadable_batches`` is present if stored
    batches of the time range cannot be decoded.
    """
    gateway_name = check_name(gateway_name)
    try:
        known = Series(series_name)
    except ModelError as error:
        raise RequestError([str(error)]) from error
    reader = HistoryReader(telemetry, profiles, archived)
    if span.resolution is Resolution.RAW:
        found = reader.raw(gateway_name, known.name, span.from_ms, span.to_ms, span.limit + span.skip)
    else:
        width_ms = WIDTHS[span.resolution]
        to_ms = min(span.to_ms, span.from_ms // width_ms * width_ms + (span.limit + span.skip) * width_ms)
        found = reader.rolled_up(gateway_name, known.name, span.from_ms, to_ms, width_ms)
    rows = found.rows
    if not len(rows):
        item = telemetry.get(keys.series(gateway_name, series_name))
        if item is None:
            raise NotFoundError([f"gateway {gateway_name} has no series {series_name}"])
        known = series_from(item)
    units = [series.unit for series in rows.series]
    unit = span.unit if span.unit is not None else units[int(rows.series_index[-1])] if len(rows) else known.unit
    wanted = np.array([one == unit for one in units], bool)[rows.series_index] if len(rows) else np.zeros(0, bool)
    others = Counter(units[at] for at in rows.series_index[~wanted].tolist())
    rows = rows.take(np.flatnonzero(wanted))
    begin = min(span.skip, int((rows.start_ms == span.from_ms).sum()))
    end = begin + span.limit
    following: tuple[int, int] | None = (found.until_ms, 0) if found.until_ms < span.to_ms else None
    if end < len(rows):
        start_ms = int(rows.start_ms[end])
        following = (start_ms, int((rows.start_ms[:end] == start_ms).sum()))
    rows = rows.take(slice(begin, end))
    resolution = rows.series[int(rows.series_index[-1])].resolution if len(rows) else None
    answer = {
        "gateway": gateway_name,
        "series": known.name,
        "unit": unit,
        "resolution": resolution,
        "width": str(span.resolution),
        "rows": len(rows),
        "columns": {name: _json_column(getattr(rows, name).tolist()) for name in COLUMNS},
    }
    of_pages = unit if len(found.rows) else span.unit
    more: dict[str, Any] = {} if following is None else {"next": span.cursor(*following, of_pages)}
    more |= {"other_units": dict(others)} if others else {}
    return answer | more | ({"unreadable_batches": found.unreadable} if found.unreadable else {})


def _json_column(values: list[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]
