"""Gateways, series, rows, latest rows and limits over the API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cloud_functions.core import keys
from cloud_functions.core.arrival import open_envelope, read_envelope, write_envelope
from cloud_functions.core.storing import Storer
from tests.unit.cloud.api_site import ApiSite
from tests.unit.cloud.fakes import NOW_MS, report
from wire import codec
from wire.model import Batch, Notice, Phase

G = "/v1/gateways/gw-1"


def test_gateways_are_listed_in_pages_with_figures_and_open_alerts():
    site = ApiSite()
    names = [f"gw-{at}" for at in range(5)]
    for name in names:
        site.rows(name)
    site.services.book.report("gw-3", report(Phase.ONSET))
    found, cursor = [], {}
    while True:
        page = site.call("GET", "/v1/gateways", limit=2, **cursor).json
        found += page["items"]
        if "next" not in page:
            break
        assert len(page["items"]) == 2
        cursor = {"cursor": page["next"]}
    assert sorted(one["gateway"] for one in found) == names
    counts = {one["gateway"]: one["alerts"] for one in found}
    assert counts["gw-3"] == {"critical": 0, "warning": 1, "info": 0}
    assert counts["gw-1"] == {"critical": 0, "warning": 0, "info": 0}
    assert all(one["rows"] == 10 and one["silent"] is False for one in found)


def test_a_gateway_shows_health_from_its_last_notice():
    site = ApiSite()
    site.rows()
    assert "health" not in site.call("GET", G).json
    key = keys.about("gw-1", keys.NOTICE)
    counters = {"Forwarder": {"sent": 1}, "Aggregator": {}, "Spool": {"dropped_rows_bulk": 3}}
    status = {"Status": {"spool_bytes": 4096, "spool_batches": 2, "stale_Aggregator": 500, "stale_Forwarder": 1}}
    site.telemetry.put_many(
        [
            {
                "pk": key.pk,
                "sk": key.sk,
                "kind": "notice",
                "time_ms": NOW_MS - 500,
                "received_ms": NOW_MS,
                "counters": json.dumps(counters | status),
            }
        ]
    )
    shown = site.call("GET", G).json
    assert shown["health"] == {
        "components": {"Aggregator": "NOT_REPORTING", "Forwarder": "RUNNING"},
        "spool_bytes": 4096,
        "spool_batches": 2,
        "clock_offset_ms": -500,
    }
    assert shown["losses"] == {"Spool.dropped_rows_bulk": 3}
    assert site.call("GET", "/v1/gateways").json["items"][0]["health"] == shown["health"]


@pytest.mark.parametrize(
    ("versions", "version"),
    [
        ({"Forwarder": "0.1.0", "Aggregator": "0.1.0"}, "0.1.0"),
        ({"Forwarder": "0.2.0", "Reader": "0.1.0"}, "0.1.0, 0.2.0"),
    ],
)
def test_a_gateway_shows_the_versions_of_its_components(versions: dict[str, str], version: str):
    site = ApiSite()
    site.rows()
    batch = Batch("gw-1", 9, 1, Notice(NOW_MS, {"Forwarder": {}}, versions))
    envelope = read_envelope(write_envelope(codec.encode(batch), "gw-1", "bulk", NOW_MS, client="gw-1"))
    Storer(site.telemetry, lambda: NOW_MS, 10**9).store(open_envelope(envelope, check_client=True))
    health = site.call("GET", "/v1/gateways").json["items"][0]["health"]
    assert (health["version"], health["versions"]) == (version, versions)


@pytest.mark.parametrize(("name", "site_name"), [("plant-7:press", "plant-7"), ("a:b:c", "a"), ("gw-1", "gw-1")])
def test_the_site_of_a_gateway_is_its_name_up_to_the_first_colon(name: str, site_name: str):
    site = ApiSite()
    site.rows(name, n=1)
    assert site.call("GET", "/v1/gateways").json["items"][0]["site"] == site_name
    assert site.call("GET", f"/v1/gateways/{name.replace(':', '%3A')}").json["site"] == site_name


def test_series_are_listed_by_pattern_in_pages():
    site = ApiSite()
    for name in ("pump/temp", "pump/speed", "tank/level"):
        site.rows(series=name, n=2)
    items = site.call("GET", f"{G}/series").json["items"]
    assert [one["series"] for one in items] == ["pump/speed", "pump/temp", "tank/level"]
    assert items[0]["unit"] == "Cel"
    first = site.call("GET", f"{G}/series", series="pump*", limit=1).json
    second = site.call("GET", f"{G}/series", series="pump*", limit=1, cursor=first["next"]).json
    assert [one["series"] for one in first["items"] + second["items"]] == ["pump/speed", "pump/temp"]
    assert "next" not in second
    assert site.call("GET", f"{G}/series", series="tank*", cursor=first["next"]).status == 400


def test_latest_is_the_newest_row_of_each_series():
    site = ApiSite()
    site.rows(series="pump/temp", n=5)
    site.rows(series="tank/level", n=3)
    site.now_ms += 10_000
    site.rows(series="pump/temp", n=2)
    items = site.call("GET", f"{G}/latest").json["items"]
    assert [(one["series"], one["mean"], one["start_ms"]) for one in items] == [
        ("pump/temp", 1.0, site.now_ms - 1_000),
        ("tank/level", 2.0, NOW_MS - 1_000),
    ]
    assert [one["series"] for one in site.call("GET", f"{G}/latest", series="tank*").json["items"]] == ["tank/level"]
    assert site.call("GET", "/v1/gateways/gw-9/latest").json == {"items": []}


@pytest.mark.parametrize("limit", [1, 3, 7, 10, 1000])
def test_pages_of_rows_have_exactly_the_limit_and_every_row_once(limit):
    site = ApiSite()
    site.rows(n=23)
    values, cursor = [], {}
    for _ in range(30):
        page = site.call("GET", f"{G}/aggregates", series="pump/temp", resolution="raw", limit=limit, **cursor).json
        values += page["columns"]["mean"]
        assert page["rows"] == len(page["columns"]["mean"]) <= limit
        if "next" not in page:
            break
        assert page["rows"] == limit
        cursor = {"cursor": page["next"]}
        site.now_ms += 5_000  # the range of the first page is kept
    assert values == [float(at) for at in range(23)]


def test_rows_are_filtered_by_unit_and_pages_keep_it():
    site = ApiSite()
    site.rows(n=6, unit="Cel")
    site.now_ms += 60_000
    site.rows(n=4, unit="K")
    query: dict[str, Any] = {"series": "pump/temp", "resolution": "raw", "limit": 3}
    first = site.call("GET", f"{G}/aggregates", **query).json
    second = site.call("GET", f"{G}/aggregates", **query, cursor=first["next"]).json
    assert (first["unit"], first["rows"], first["other_units"]) == ("K", 3, {"Cel": 6})
    assert (second["unit"], second["rows"], "next" in second) == ("K", 1, False)
    assert site.call("GET", f"{G}/aggregates", series="pump/temp", unit="Cel", resolution="raw").json["rows"] == 6


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ({}, "series: it is missing"),
        ({"series": "a", "resolution": "5m"}, "resolution: '5m'"),
        ({"series": "a", "from": "soon"}, "from: 'soon'"),
        ({"series": "a", "cursor": "7f"}, "cursor: '7f'"),
        ({"series": "-"}, "series name '-'"),
    ],
)
def test_invalid_parameters_of_rows_are_problems(query, problem):
    answer = ApiSite().call("GET", f"{G}/aggregates", **query)
    assert answer.status == 400
    assert answer.problems[0].startswith(problem)


def test_rows_are_items_on_request():
    site = ApiSite()
    site.rows(n=5)
    query: dict[str, Any] = {"series": "pump/temp", "resolution": "raw", "limit": 2, "format": "rows"}
    page = site.call("GET", f"{G}/aggregates", **query).json
    assert [(one["start_ms"], one["mean"]) for one in page["items"]] == [(NOW_MS - 5_000, 0.0), (NOW_MS - 4_000, 1.0)]
    assert "columns" not in page
    following = site.call("GET", f"{G}/aggregates", **query, cursor=page["next"]).json
    assert [one["mean"] for one in following["items"]] == [2.0, 3.0]
    assert site.call("GET", f"{G}/aggregates", series="pump/temp", format="xml").status == 400


def test_a_cursor_of_other_parameters_is_refused():
    site = ApiSite()
    site.rows(n=5)
    page = site.call("GET", f"{G}/aggregates", series="pump/temp", resolution="raw", limit=2).json
    other = site.call("GET", f"{G}/aggregates", series="pump/temp", resolution="raw", unit="K", cursor=page["next"])
    assert other.status == 400


def test_limits_are_stored_and_shown():
    site = ApiSite()
    site.rows()
    assert site.call("GET", f"{G}/limits", series="pump/temp").json["high"] is None
    answer = site.call("PUT", f"{G}/limits", {"high": 80, "low": None}, series="pump/temp", role="operator")
    assert answer.json == {"gateway": "gw-1", "series": "pump/temp", "high": 80.0, "low": None}
    assert site.call("GET", f"{G}/limits", series="pump/temp").json == answer.json
    assert site.call("PUT", f"{G}/limits", {"high": 80}, series="none").status == 404
    assert site.call("GET", f"{G}/limits", series="none").status == 404
    assert site.call("PUT", f"{G}/limits", {"height": 80}, series="pump/temp").problems == [
        "height: high and low are known"
    ]


def test_a_forecast_uses_the_stored_limits():
    site = ApiSite()
    site.rows(n=300)
    assert site.call("GET", f"{G}/forecast", series="pump/temp").status == 400
    site.call("PUT", f"{G}/limits", {"high": 400}, series="pump/temp")
    answer = site.call("GET", f"{G}/forecast", series="pump/temp").json
    assert [one["limit"] for one in answer["limits"]] == [400.0]
    assert answer["limits"][0]["estimate"] is not None
    assert site.call("GET", f"{G}/forecast", series="none", high=1).status == 404
