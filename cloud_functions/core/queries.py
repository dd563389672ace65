"""Queries of the API for series, rows and alerts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from cloud_functions.core import alert as alerts
from cloud_functions.core import keys
from cloud_functions.core.alert import State
from cloud_functions.core.columns import COLUMNS, decode_columns
from cloud_functions.core.errors import NotFoundError, RequestError
from cloud_functions.core.gateways import check_name
from cloud_functions.core.ports import Item, Table
from cloud_functions.core.records import DAY_MS, join
from cloud_functions.core.storing import series_from
from wire.errors import ModelError
from wire.model import Aggregates, Series

MAX_ROWS, DEFAULT_ROWS = 20_000, 5_000
MAX_LISTED, DEFAULT_LISTED = 1_000, 100
HOUR_MS = 3_600_000


def series(telemetry: Table, name: str) -> list[dict[str, Any]]:
    """Return the series of a gateway."""
    prefix = keys.series(check_name(name), "")
    found = map(series_from, telemetry.query(prefix.pk, prefix.sk, prefix.sk + "\x7f"))
    return [{"series": s.name, "unit": s.unit, "resolution": s.resolution} for s in found]


@dataclass(frozen=True, slots=True)
class Span:
    """Rows wanted: windows that start in [from_ms, to_ms), ``limit`` or a little more, after the key ``after``."""

    from_ms: int
    to_ms: int
    limit: int
    after: str


def read_span(query: Mapping[str, str], now_ms: int) -> Span:
    """Read ``from``, ``to``, ``limit`` and ``next``; raises RequestError that lists what is wrong."""
    problems: list[str] = []
    to_ms = moment(query, "to", now_ms, problems)
    from_ms = moment(query, "from", max(0, to_ms - HOUR_MS), problems)
    limit = _count(query, "limit", DEFAULT_ROWS, MAX_ROWS, problems)
    if not problems and from_ms >= to_ms:
        problems.append(f"from: {from_ms} is not before to, {to_ms}")
    try:
        after = bytes.fromhex(query.get("next", "")).decode()
    except ValueError:
        problems.append(f"next: {query['next'][:80]!r}: what the page before gave as next")
    if problems:
        raise RequestError(problems)
    return Span(from_ms, to_ms, limit, after)


def moment(query: Mapping[str, str], name: str, default: int, problems: list[str]) -> int:
    """Return a time parameter in ms, or ``default`` if absent; adds a sentence to ``problems`` if invalid."""
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
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("without an offset it is no moment")
    return round(moment.timestamp() * 1000)


def _count(query: Mapping[str, str], name: str, default: int, most: int, problems: list[str]) -> int:
    text = query.get(name)
    if text is None:
        return default
    if text.isdecimal() and len(text) <= 9 and 1 <= int(text) <= most:
        return int(text)
    problems.append(f"{name}: {text[:80]!r}: 1 to {most}")
    return default


def aggregates(telemetry: Table, gateway_name: str, series_name: str, span: Span) -> dict[str, Any]:
    """Return rows of a series by window start, as columns; ``next`` is there when more wait.

    A page holds whole records, so rows of records that overlap may come on the page after.
    """
    gateway_name = check_name(gateway_name)
    try:
        known = Series(series_name)
    except ModelError as error:
        raise RequestError([str(error)]) from error
    pk = keys.record(gateway_name, known.name, 0, 0, 1).pk
    # No record crosses midnight, so the rows wanted lie in records that begin from the first day's start on.
    first = keys.time(span.from_ms // DAY_MS * DAY_MS)
    if span.after:
        first = max(first, span.after + "\x01")
    parts: list[Aggregates] = []
    rows, last = 0, ""
    records = telemetry.query(pk, first, keys.time(span.to_ms))
    for item in records:
        part = decode_columns(bytes(item["columns"]), series_from(item))  # type: ignore[arg-type]
        part = part.take((part.start_ms >= span.from_ms) & (part.start_ms < span.to_ms))  # type: ignore[arg-type]
        parts.append(part)
        rows, last, known = rows + len(part), str(item["sk"]), part.series[0]
        if rows >= span.limit:
            break
    more = next(records, None) is not None
    if not parts and telemetry.get(keys.series(gateway_name, series_name)) is None:
        raise NotFoundError([f"gateway {gateway_name} has no series {series_name}"])
    joined = join(parts)
    joined = joined.take(np.argsort(joined.start_ms, kind="stable"))
    answer = {
        "gateway": gateway_name,
        "series": known.name,
        "unit": known.unit,
        "resolution": known.resolution,
        "rows": len(joined),
        "columns": {name: _json_column(getattr(joined, name).tolist()) for name in COLUMNS},
    }
    return answer | ({"next": last.encode().hex()} if more else {})


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
    return list(itertools.islice(table.query_index("by_state", "state", str(state), newest_first=True), limit))


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
    """Return the newest alerts of one gateway, in the ``state`` asked for or in any."""
    problems: list[str] = []
    limit = _count(query, "limit", DEFAULT_LISTED, MAX_LISTED, problems)
    states = _states(query.get("state", "all"), problems)
    if problems:
        raise RequestError(problems)
    found = (item for item in table.query(check_name(name), newest_first=True) if item["state"] in states)
    return [alerts.from_item(item).to_dict() for item in itertools.islice(found, limit)]
