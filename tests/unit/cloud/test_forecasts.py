"""Forecast function: estimates from the tables, and stored limits of a series."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from cloud_functions.core import forecasts, limits
from cloud_functions.core.errors import NotFoundError, RequestError
from cloud_functions.core.threshold import Side
from tests.unit.cloud.fakes import NOW_MS, FakeTable
from tests.unit.cloud.test_queries import SERIES, filled
from wire.model import Aggregates, Batch

WIDTH_MS, ROWS = 60_000, 180
BEGIN_MS = NOW_MS - ROWS * WIDTH_MS
HOUR_MS = 3_600_000


def rising(rows: int = ROWS, begin_ms: int = BEGIN_MS) -> FakeTable:
    """Return a table with a series that rises by 6 an hour from 20, in batches of 30 rows."""
    mean = 20.0 + 0.1 * np.arange(rows) + 0.2 * np.random.default_rng(1).normal(size=rows)
    none = np.zeros(rows)
    whole = Aggregates(
        (SERIES,),
        none.astype(np.int64),
        begin_ms + WIDTH_MS * np.arange(rows, dtype=np.int64),
        np.full(rows, WIDTH_MS, np.int64),
        np.full(rows, 60, np.int64),
        mean,
        mean - 0.1,
        mean + 0.1,
        none,
        np.full(rows, np.nan),
    )
    parts = [whole.take(slice(at, at + 30)) for at in range(0, rows, 30)]
    return filled(*(Batch("gw-1", 7, at + 1, part) for at, part in enumerate(parts)))


def ask(table: FakeTable, **query: Any) -> dict[str, Any]:
    texts = {key.rstrip("_"): str(value) for key, value in query.items()}
    return forecasts.forecast(table, lambda *_: None, "gw-1", SERIES.name, forecasts.read_request(texts, NOW_MS))


def test_a_stored_series_is_forecast_from_the_rows_of_the_last_day() -> None:
    answer = ask(rising(), high=44)
    assert (answer["gateway"], answer["series"], answer["unit"]) == ("gw-1", SERIES.name, "Cel")
    assert answer["history"]["rows"] == ROWS
    assert answer["history"]["to_ms"] == NOW_MS
    assert answer["until_ms"] == NOW_MS + ROWS * WIDTH_MS
    (entry,) = answer["limits"]
    estimate = entry["estimate"]
    assert estimate["early_ms"] <= NOW_MS + HOUR_MS <= estimate["late_ms"]
    assert estimate["early_ms"] < estimate["middle_ms"] < estimate["late_ms"]
    assert (entry["side"], entry["limit"], entry["reason"]) == ("high", 44.0, None)
    assert answer["model"]["trend"] == pytest.approx(0.1, rel=0.2)
    json.dumps(answer, allow_nan=False)


def test_only_rows_of_the_requested_span_are_used_with_the_requested_horizon() -> None:
    answer = ask(rising(), high=44, from_=NOW_MS - 60 * WIDTH_MS, horizon=10 * WIDTH_MS)
    assert answer["history"]["from_ms"] == NOW_MS - 60 * WIDTH_MS
    assert answer["until_ms"] == NOW_MS + 10 * WIDTH_MS
    assert answer["limits"][0]["reason"] == "horizon"


def test_the_newest_rows_are_used_if_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecasts, "MAX_ROWS", 45)
    assert ask(rising(), high=44)["history"]["rows"] == 45


def test_a_series_without_rows_in_the_span_has_no_estimate() -> None:
    answer = ask(rising(), high=44, from_=0, to=1_000)
    assert (answer["history"], answer["model"], answer["until_ms"]) == (None, None, None)
    assert answer["limits"][0]["reason"] == "too_short"


def test_a_silent_series_has_no_estimate() -> None:
    answer = ask(rising(begin_ms=BEGIN_MS - 6 * HOUR_MS), high=80)
    assert answer["limits"][0]["reason"] == "gap"


def test_both_limits_are_estimated() -> None:
    answer = ask(rising(), high=44, low=10)
    assert [entry["side"] for entry in answer["limits"]] == ["high", "low"]
    assert answer["limits"][1]["reason"] == "away"


def test_the_stored_limits_are_used_without_a_limit_in_the_request() -> None:
    table = rising()
    kept = limits.keep(table, "gw-1", SERIES.name, {"high": 44.5, "low": -1e-7})
    assert kept == {"gateway": "gw-1", "series": SERIES.name, "high": 44.5, "low": -1e-7}
    assert {entry["side"]: entry["limit"] for entry in ask(table)["limits"]} == {"high": 44.5, "low": -1e-7}
    assert [entry["limit"] for entry in ask(table, high=50)["limits"]] == [50.0]
    limits.keep(table, "gw-1", SERIES.name, {"low": None, "high": 60})
    assert limits.kept(table, "gw-1", SERIES.name) == {Side.HIGH: 60.0}


def test_a_series_without_any_limit_is_rejected() -> None:
    with pytest.raises(RequestError, match="high, low: name at least one limit"):
        ask(rising())


def test_unknown_gateways_and_series_are_not_found() -> None:
    table, request = rising(), forecasts.read_request({"high": "1"}, NOW_MS)
    with pytest.raises(NotFoundError, match="gateway gw-1 has no series other"):
        forecasts.forecast(table, lambda *_: None, "gw-1", "other", request)
    with pytest.raises(RequestError, match="gateway"):
        forecasts.forecast(table, lambda *_: None, "gw#1", "other", request)
    with pytest.raises(RequestError, match="series name"):
        forecasts.forecast(table, lambda *_: None, "gw-1", "-", request)
    with pytest.raises(NotFoundError, match="has no series other"):
        limits.keep(table, "gw-1", "other", {"high": 1})


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"high": "hot"}, "high: 'hot': a number"),
        ({"high": "inf"}, "high: 'inf': a number"),
        ({"low": "nan"}, "low: 'nan': a number"),
        ({"high": "1", "low": "1"}, "low: 1 is not below high, 1"),
        ({"horizon": "soon"}, "horizon: 'soon': milliseconds, 1 or more"),
        ({"horizon": "0"}, "horizon: '0'"),
        ({"from": "9", "to": "9"}, "from: 9 is not before to, 9"),
        ({"to": "yesterday"}, "to: 'yesterday'"),
    ],
)
def test_an_invalid_request_is_rejected_with_its_key(query: dict[str, str], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        forecasts.read_request(query, NOW_MS)
    assert any(message in problem for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("series", "given", "message"),
    [
        ("-", {"high": 1}, "series name '-'"),
        ("a", {"high": True}, "high: True: a number"),
        ("a", {"high": math.inf}, "high: inf: a number"),
        ("a", {"high": [1]}, r"high: \[1\]: a number"),
        ("a", {"height": 1}, "height: high and low are known"),
        ("a", {"high": 1, "low": 2}, "low: 2 is not below high, 1"),
    ],
)
def test_invalid_limits_are_rejected_with_their_key(series: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        limits.keep(rising(), "gw-1", series, given)
