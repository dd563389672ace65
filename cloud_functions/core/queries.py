"""Queries of the API for series, rows and alerts."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import numpy as np

from cloud_functions.core import alert as alerts
from cloud_functions.core import keys
from cloud_functions.core.alert import State
from cloud_functions.core.catalogue import series_from
from cloud_functions.core.columns import COLUMNS
from cloud_functions.core.errors import NotFoundError, RequestError
from cloud_functions.core.gateways import check_name
from cloud_functions.core.history_reader import HistoryReader
from cloud_functions.core.keys import HOUR_MS
from cloud_functions.core.ports import Item, Table
from cloud_functions.core.profiles import RAW_MS
from cloud_functions.core.rollup import WIDTH_MS
from wire.codec import Profiles
from wire.errors import ModelError
from wire.model import Series

MAX_ROWS, DEFAULT_ROWS = 20_000, 5_000
MAX_LISTED, DEFAULT_LISTED = 1_000, 100
DAY_MS = 86_400_000


def series(telemetry: Table, name: str) -> list[dict[str, Any]]:
    """Return the series of a gateway."""
    prefix = keys.series(check_name(name), "")
    found = map(series_from, telemetry.query(prefix.pk, prefix.sk, prefix.sk + "\x7f"))
    return [{"series": s.name, "unit": s.unit, "resolution": s.resolution} for s in found]


class Resolution(StrEnum):
    """Width of the rows of an answer."""

    RAW = "raw"
    """Unmodified rows; stored for ``RawDays``, later only in the archive."""
    QUARTER = "15m"
    HOUR = "1h"
    DAY = "1d"


WIDTHS = {Resolution.QUARTER: WIDTH_MS, Resolution.HOUR: HOUR_MS, Resolution.DAY: DAY_MS}
_LONGEST = {Resolution.RAW: 3 * HOUR_MS, Resolution.QUARTER: 1_000 * WIDTH_MS, Resolution.HOUR: 1_000 * HOUR_MS}
"""Longest time range for which ``auto`` selects a resolution: about 1,000 rows."""


@dataclass(frozen=True, slots=True)
class Span:
    """Requested rows: windows that start in [from_ms, to_ms), about ``limit`` of them, of ``resolution``.

    ``unit`` selects the rows of a series whose unit changed; None is the unit of the newest row.
    """

    from_ms: int
    to_ms: int
    limit: int
    resolution: Resolution
    unit: str | None


def read_span(query: Mapping[str, str], now_ms: int, raw_ms: int = RAW_MS) -> Span:
    """Read ``from``, ``to``, ``limit``, ``resolution``, ``unit`` and ``next``; raises RequestError.

    ``auto``, the default resolution, selects the finest that gives at most about 1,000 rows and is still stored.
    """
    problems: list[str] = []
    to_ms = moment(query, "to", now_ms, problems)
    from_ms = moment(query, "from", max(0, to_ms - HOUR_MS), problems)
    limit = _count(query, "limit", DEFAULT_ROWS, MAX_ROWS, problems)
    if not problems and from_ms >= to_ms:
        problems.append(f"from: {from_ms} is not before to, {to_ms}")
    text = query.get("resolution", "auto")
    if text not in ("auto", *Resolution):
        problems.append(f"resolution: {text[:40]!r}: one of auto, {', '.join(Resolution)}")
    begin, after = from_ms, query.get("next")
    if after is not None:
        begin = int(after) if after.isdecimal() and len(after) <= 13 else -1
        if not from_ms <= begin <= to_ms:
            problems.append(f"next: {after[:80]!r}: a value that the previous page gave as next")
    if problems:
        raise RequestError(problems)
    resolution = _automatic(from_ms, to_ms, now_ms - raw_ms) if text == "auto" else Resolution(text)
    return Span(begin, to_ms, limit, resolution, query.get("unit"))


def _automatic(from_ms: int, to_ms: int, oldest_ms: int) -> Resolution:
    for resolution, longest in _LONGEST.items():
        if to_ms - from_ms <= longest and not (resolution is Resolution.RAW and from_ms < oldest_ms):
            return resolution
    return Resolution.DAY


def moment(query: Mapping[str, str], name: str, default: int, problems: list[str]) -> int:
    """Return a time parameter in ms, or ``default`` if absent; adds a sentence to ``problems`` if invalid."""
    text = query.get(name)
    if text is None:
        return default
    try:
        ms = int(text) if text.isdecimal() and len(text) <= 13 else _iso_ms(text)
        if 0 <= ms <= keys.MAX_TIME_MS:
            return ms
    except (ValueError, OverflowError):
        pass
    problems.append(f"{name}: {text[:80]!r}: milliseconds since 1970, or ISO 8601 with its offset, up to 2286")
    return default


def _iso_ms(text: str) -> int:
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError("the time has no offset from UTC")
    return round(parsed.timestamp() * 1000)


def _count(query: Mapping[str, str], name: str, default: int, most: int, problems: list[str]) -> int:
    text = query.get(name)
    if text is None:
        return default
    if text.isdecimal() and len(text) <= 9 and 1 <= int(text) <= most:
        return int(text)
    problems.append(f"{name}: {text[:80]!r}: 1 to {most}")
    return default


def aggregates(telemetry: Table, profiles: Profiles, gateway_name: str, series_name: str, span: Span) -> dict[str, Any]:
    """Return rows of a series by window start, as columns; ``next`` is present when more exist.

    ``other_units`` counts rows of the series in other units than ``unit``. ``unreadable_batches`` is present if stored
    batches of the time range cannot be decoded.
    """
    gateway_name = check_name(gateway_name)
    try:
        known = Series(series_name)
    except ModelError as error:
        raise RequestError([str(error)]) from error
    reader = HistoryReader(telemetry, profiles)
    if span.resolution is Resolution.RAW:
        found = reader.raw(gateway_name, known.name, span.from_ms, span.to_ms, span.limit)
    else:
        width_ms = WIDTHS[span.resolution]
        to_ms = min(span.to_ms, span.from_ms // width_ms * width_ms + span.limit * width_ms)
        found = reader.rolled_up(gateway_name, known.name, span.from_ms, to_ms, width_ms)
    rows = found.rows
    if not len(rows) and telemetry.get(keys.series(gateway_name, series_name)) is None:
        raise NotFoundError([f"gateway {gateway_name} has no series {series_name}"])
    units = [series.unit for series in rows.series]
    unit = span.unit if span.unit is not None else units[int(rows.series_index[-1])] if len(rows) else known.unit
    wanted = np.array([one == unit for one in units], bool)[rows.series_index] if len(rows) else np.zeros(0, bool)
    others = Counter(units[at] for at in rows.series_index[~wanted].tolist())
    rows = rows.take(np.flatnonzero(wanted))
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
    more: dict[str, Any] = {"next": str(found.until_ms)} if found.until_ms < span.to_ms else {}
    more |= {"other_units": dict(others)} if others else {}
    return answer | more | ({"unreadable_batches": found.unreadable} if found.unreadable else {})


def _json_column(values: list[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]


def alerts_by_state(table: Table, query: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the newest alerts of all gateways: those in ``state``, or those that are open."""
    problems: list[str] = []
    limit = _count(query, "limit", DEFAULT_LISTED, MAX_LISTED, problems)
    states = _states(query.get("state"), problems)
    if problems:
        raise RequestError(problems)
    found = [item for state in states for item in _newest(table, state, limit)]
    found.sort(key=lambda item: str(item["sk"]), reverse=True)
    return [alerts.from_item(item).to_dict() for item in found[:limit]]


def _newest(table: Table, state: State, limit: int) -> list[Item]:
    buckets = [
        table.query_index(keys.BY_STATE, keys.listed(state, bucket), newest_first=True)
        for bucket in range(keys.STATE_BUCKETS)
    ]
    merged = heapq.merge(*buckets, key=lambda item: str(item["sk"]), reverse=True)
    return list(itertools.islice(merged, limit))


def _states(text: str | None, problems: list[str]) -> tuple[State, ...]:
    if text is None:
        return alerts.OPEN
    if text == "all":
        return tuple(State)
    if text in tuple(State):
        return (State(text),)
    problems.append(f"state: {text[:40]!r}: one of {', '.join(State)}, all")
    return ()


def alerts_of(table: Table, name: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the newest alerts of one gateway, in the requested ``state`` or in any."""
    problems: list[str] = []
    limit = _count(query, "limit", DEFAULT_LISTED, MAX_LISTED, problems)
    states = _states(query.get("state", "all"), problems)
    if problems:
        raise RequestError(problems)
    found = (item for item in table.query(check_name(name), newest_first=True) if item["state"] in states)
    return [alerts.from_item(item).to_dict() for item in itertools.islice(found, limit)]
