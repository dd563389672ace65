"""Dry run of a rule over stored rows: the alerts that it would have fired."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

from cloud_functions.core import gateways, keys, rule_forecast
from cloud_functions.core.catalogue import series_from
from cloud_functions.core.errors import RequestError
from cloud_functions.core.globs import matches, matches_series
from cloud_functions.core.history_reader import HistoryReader
from cloud_functions.core.ports import Table
from cloud_functions.core.rule_evaluation import Breach, Progress, Row, absent, evaluate
from cloud_functions.core.rules import Absence, Forecast, Rule, SetSilence
from wire.model import Aggregates

MAX_SERIES = 100
MAX_RANGE_MS = 31 * 86_400_000
MAX_FIRINGS = 1_000
FORECAST_STEPS = 24
"""Points in time at which a forecast is evaluated: each takes the history of a day."""


class SeriesName(NamedTuple):
    """A series of a gateway."""

    gateway: str
    series: str


class RowHistory(Protocol):
    """Stored rows by series."""

    def series(self, rule: Rule) -> Iterator[SeriesName]:
        """Yield the series that the rule names."""

    def rows(self, name: SeriesName, from_ms: int, to_ms: int) -> Aggregates:
        """Return the rows of a series in a time range, in the order of time."""


class StoredHistory:
    """Rows of the telemetry table, unmodified or in windows of 15 minutes where only roll-ups are stored."""

    def __init__(self, table: Table, reader: HistoryReader) -> None:
        self._table, self._reader = table, reader

    def series(self, rule: Rule) -> Iterator[SeriesName]:
        """Yield the series that the rule names."""
        for gateway in gateways.names(self._table):
            if not matches(rule.gateways, gateway):
                continue
            prefix = keys.series(gateway, "")
            for item in self._table.query(prefix.pk, prefix.sk, prefix.sk + "\x7f"):
                if matches_series(rule.series, name := series_from(item).name):
                    yield SeriesName(gateway, name)

    def rows(self, name: SeriesName, from_ms: int, to_ms: int) -> Aggregates:
        """Return the rows of a series in a time range, in the order of time."""
        return self._reader.mixed(name.gateway, name.series, from_ms, to_ms)


def dry_run(rule: Rule, history: RowHistory, from_ms: int, to_ms: int) -> dict[str, Any]:
    """Return ``{"series_evaluated", "firings": [{gateway, series, from_ms, to_ms, peak}], "count"}``.

    ``truncated`` is true if the rule names more series than are evaluated, or fired more often than is listed.
    Raises RequestError for an invalid time range, and a rule that sets a silence.
    """
    if isinstance(rule.condition, SetSilence):
        raise RequestError(["condition.type: silence has no dry run: it sets a time and evaluates no rows"])
    if not 0 <= from_ms < to_ms:
        raise RequestError([f"from: {from_ms} is not before to, {to_ms}"])
    if to_ms - from_ms > MAX_RANGE_MS:
        raise RequestError([f"from: a dry run covers at most {MAX_RANGE_MS // 86_400_000} days"])
    names = list(itertools.islice(history.series(rule), MAX_SERIES + 1))
    firings = [
        {
            "gateway": name.gateway,
            "series": name.series,
            "from_ms": breach.onset_ms,
            "to_ms": breach.ended_ms if breach.ended_ms is not None else min(breach.last_ms, to_ms),
            "peak": breach.peak,
        }
        for name in names[:MAX_SERIES]
        for breach in _breaches(rule, history, name, from_ms, to_ms)
        if _fires(rule, breach)
    ]
    firings.sort(key=lambda one: (one["from_ms"], one["gateway"], one["series"]))
    truncated = len(names) > MAX_SERIES or len(firings) > MAX_FIRINGS
    answer = {
        "series_evaluated": min(len(names), MAX_SERIES),
        "firings": firings[:MAX_FIRINGS],
        "count": len(firings),
    }
    return answer | ({"truncated": True} if truncated else {})


def rows_of_series(rows: Aggregates) -> list[Row]:
    """Return the rows of one series with a value, in the order of time; of several units, those of the newest."""
    if not len(rows):
        return []
    newest = rows.series_index[-1]
    usable = np.flatnonzero((rows.series_index == newest) & np.isfinite(rows.mean) & (rows.count > 0))
    starts, ends = rows.start_ms[usable], rows.start_ms[usable] + np.maximum(rows.width_ms[usable], 1)
    found = zip(starts.tolist(), ends.tolist(), rows.mean[usable].tolist(), strict=True)
    return sorted(Row(*row) for row in found)


def _breaches(rule: Rule, history: RowHistory, name: SeriesName, from_ms: int, to_ms: int) -> list[Breach]:
    if isinstance(rule.condition, Forecast):
        return _forecast(rule.condition, history, name, from_ms, to_ms)
    rows = rows_of_series(history.rows(name, from_ms, to_ms))
    progress, found = evaluate(rule.condition, Progress(), rows)
    if isinstance(rule.condition, Absence):
        _, missing = absent(rule.condition, progress, to_ms)
        found += [missing] if missing is not None else []
    return found


def _forecast(condition: Forecast, history: RowHistory, name: SeriesName, from_ms: int, to_ms: int) -> list[Breach]:
    rows = history.rows(name, max(0, from_ms - rule_forecast.HISTORY_MS), to_ms)
    if len(rows):
        rows = rows.take(np.flatnonzero(rows.series_index == rows.series_index[-1]))
    progress, found = Progress(), dict[int, Breach]()
    for at in range(1, FORECAST_STEPS + 1):
        now_ms = from_ms + (to_ms - from_ms) * at // FORECAST_STEPS
        known = (rows.start_ms + rows.width_ms <= now_ms) & (rows.start_ms >= now_ms - rule_forecast.HISTORY_MS)
        progress, breach = rule_forecast.evaluate(condition, progress, rows.take(np.flatnonzero(known)), now_ms)
        if breach is not None:
            found[breach.onset_ms] = breach
    return list(found.values())


def _fires(rule: Rule, breach: Breach) -> bool:
    end_ms = breach.ended_ms if breach.ended_ms is not None else breach.last_ms
    return end_ms - breach.onset_ms >= rule.for_s * 1000
