"""Lists of alerts, newest onset first, with filters and cursors; and the numbers of open alerts by gateway."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cloud_functions.core import alert as alerts
from cloud_functions.core import keys, paging, parameters
from cloud_functions.core.alert import State
from cloud_functions.core.errors import RequestError
from cloud_functions.core.gateways import check_name
from cloud_functions.core.globs import matches
from cloud_functions.core.ports import Item, Table

SEVERITIES = ("critical", "warning", "info")
STATES = ("open", "all", *State)
MAX_LISTED, DEFAULT_LISTED = 1_000, 100
MAX_READ = 4_000
"""Alerts that one page reads; a page with a selective filter can be short, or empty, and have a next one."""
MAX_COUNTED = 10_000
"""Open alerts that are counted by gateway."""


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Requested alerts: of ``states``, of one gateway or all, with an onset in [from_ms, to_ms)."""

    states: tuple[State, ...]
    gateway: str | None
    series: str
    severity: str | None
    from_ms: int
    to_ms: int

    def selects(self, alert: Mapping[str, Any]) -> bool:
        """Return True for an alert (as JSON values) of the requested series and severity."""
        if self.severity is not None and alert.get("severity", "warning") != self.severity:
            return False
        return matches(self.series, str(alert.get("series") or ""))


def read_filter(query: Mapping[str, str]) -> tuple[AlertFilter, int]:
    """Return the filter and the limit of a query; raises RequestError with all problems."""
    problems: list[str] = []
    limit = parameters.count(query, "limit", DEFAULT_LISTED, MAX_LISTED, problems)
    state = parameters.choice(query, "state", STATES, "open", problems)
    severity = query.get("severity")
    if severity is not None:
        parameters.choice(query, "severity", SEVERITIES, "", problems)
    series = parameters.pattern(query, "series", problems)
    from_ms = parameters.moment(query, "from", 0, problems)
    to_ms = parameters.moment(query, "to", keys.MAX_TIME_MS, problems)
    if not problems and from_ms >= to_ms:
        problems.append(f"from: {from_ms} is not before to, {to_ms}")
    gateway = query.get("gateway")
    if gateway is not None:
        try:
            check_name(gateway)
        except RequestError as error:
            problems += error.problems
    if problems:
        raise RequestError(problems)
    states = alerts.OPEN if state == "open" else tuple(State) if state == "all" else (State(state),)
    return AlertFilter(states, gateway, series, severity, from_ms, to_ms), limit


def page(table: Table, query: Mapping[str, str]) -> tuple[list[dict[str, Any]], str | None]:
    """Return a page of alerts as JSON values, and the cursor of the next page or None; raises RequestError."""
    wanted, limit = read_filter(query)
    scope = paging.scope_of("alerts", query)
    after: tuple[str, str] | None = None
    if (cursor := query.get("cursor")) is not None:
        sk, pk = paging.decode(cursor, scope, str, str)
        after = (sk, pk)
    found: list[dict[str, Any]] = []
    for read, item in enumerate(_items(table, wanted, after)):
        position = (str(item["sk"]), str(item["pk"]))
        if len(found) == limit or read == MAX_READ:
            assert after is not None  # noqa: S101 - at least one item was read before
            return found, paging.encode(scope, *after)
        after = position
        if item["state"] in wanted.states and wanted.selects(shown := alerts.from_item(item).to_dict()):
            found.append(shown)
    return found, None


def _items(table: Table, wanted: AlertFilter, after: tuple[str, str] | None) -> Iterator[Item]:
    """Yield the alerts of the range and gateway by (onset and series, gateway), greatest first, those below ``after``.

    Of several gateways the items come from the index by state, which is eventually consistent: an alert whose state
    changes can be missing or there twice, and is yielded once.
    """
    first, last = keys.time(wanted.from_ms), keys.time(wanted.to_ms - 1) + "$"
    if after is not None:
        last = min(last, after[0])
    if first > last:
        return
    if wanted.gateway is not None:
        merged = table.query(wanted.gateway, first, last, newest_first=True)
    else:
        parts = [
            table.query_index(keys.BY_STATE, keys.listed(state, bucket), first, last, newest_first=True)
            for state in wanted.states
            for bucket in range(keys.STATE_BUCKETS)
        ]
        merged = heapq.merge(*parts, key=lambda item: str(item["sk"]), reverse=True)
    for _, equal in itertools.groupby(merged, key=lambda item: str(item["sk"])):
        by_gateway = {str(item["pk"]): item for item in equal if item.get("kind") == "alert"}
        for pk in sorted(by_gateway, reverse=True):
            if after is None or (str(by_gateway[pk]["sk"]), pk) < after:
                yield by_gateway[pk]


def open_counts(table: Table, gateways: set[str]) -> dict[str, dict[str, int]]:
    """Return the numbers of open alerts by severity of each gateway; at most ``MAX_COUNTED`` alerts are read."""
    counts = {name: dict.fromkeys(SEVERITIES, 0) for name in gateways}
    buckets = sorted({keys.bucket(name, keys.STATE_BUCKETS) for name in gateways})
    items = itertools.chain.from_iterable(
        table.query_index(keys.BY_STATE, keys.listed(state, bucket), newest_first=True)
        for state in alerts.OPEN
        for bucket in buckets
    )
    for item in itertools.islice(items, MAX_COUNTED):
        of_gateway = counts.get(str(item["pk"]))
        if of_gateway is not None:
            severity = str(item.get("severity", "warning"))
            of_gateway[severity] = of_gateway.get(severity, 0) + 1
    return counts
