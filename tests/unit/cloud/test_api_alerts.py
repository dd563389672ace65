"""Alerts over the API: lists with filters and cursors, one alert, its history, acknowledgement."""

from __future__ import annotations

import pytest

from cloud_functions.core import alert_queries
from tests.unit.cloud.api_site import ApiSite
from tests.unit.cloud.fakes import NOW_MS, START_MS
from wire.model import Anomaly, Phase


def site_with(*alerts: tuple[str, int, str, Phase]) -> ApiSite:
    """Return a site with alerts of (gateway, onset after START_MS, series, last phase)."""
    site = ApiSite()
    for gateway, after, series, phase in alerts:
        onset = START_MS + after
        site.services.book.report(gateway, Anomaly(series, phase, onset, onset + 1, 1.5, "spike"))
    return site


def onsets(site: ApiSite, **query) -> list[int]:
    return [one["onset_ms"] - START_MS for one in site.call("GET", "/v1/alerts", **query).json["items"]]


@pytest.fixture
def site() -> ApiSite:
    made = site_with(
        ("gw-1", 0, "pump/temp", Phase.ONSET),
        ("gw-2", 1, "pump/temp", Phase.ONSET),
        ("gw-1", 2, "tank/level", Phase.END),
        ("gw-1", 3, "tank/level", Phase.ONSET),
    )
    (second,) = made.call("GET", "/v1/alerts", gateway="gw-2").json["items"]
    assert made.call("POST", f"/v1/alerts/{second['id']}/acknowledge", {"comment": "on my way"}).status == 200
    return made


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [3, 1, 0]),
        ({"state": "open"}, [3, 1, 0]),
        ({"state": "all"}, [3, 2, 1, 0]),
        ({"state": "resolved"}, [2]),
        ({"state": "acknowledged"}, [1]),
        ({"gateway": "gw-1"}, [3, 0]),
        ({"gateway": "gw-1", "state": "all"}, [3, 2, 0]),
        ({"gateway": "gw-9"}, []),
        ({"series": "pump*"}, [1, 0]),
        ({"severity": "warning"}, [3, 1, 0]),
        ({"severity": "critical"}, []),
        ({"from_": START_MS + 1}, [3, 1]),
        ({"to": START_MS + 1}, [0]),
        ({"from_": START_MS + 1, "to": START_MS + 3, "state": "all"}, [2, 1]),
    ],
)
def test_alerts_are_filtered_and_ordered_newest_first(site, query, expected):
    assert onsets(site, **query) == expected


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ({"state": "closed"}, "state: 'closed': one of open, all, pending"),
        ({"severity": "bad"}, "severity: 'bad'"),
        ({"gateway": "a b"}, "gateway 'a b'"),
        ({"from_": 5, "to": 5}, "from: 5 is not before to, 5"),
        ({"limit": 1001}, "limit: '1001'"),
        ({"cursor": "WzEsMl0"}, "cursor: "),
    ],
)
def test_an_invalid_filter_is_a_problem(site, query, problem):
    answer = site.call("GET", "/v1/alerts", **query)
    assert answer.status == 400
    assert answer.problems[0].startswith(problem)


@pytest.mark.parametrize("gateway", [{}, {"gateway": "gw-0"}])
def test_pages_have_every_alert_once(gateway):
    site = site_with(
        *((f"gw-{n % 3}", n // 9, f"pump{n % 2}/temp", Phase.ONSET if n % 4 else Phase.END) for n in range(40))
    )
    whole = [one["id"] for one in site.call("GET", "/v1/alerts", state="all", **gateway).json["items"]]
    found, cursor = [], {}
    for _ in range(20):
        page = site.call("GET", "/v1/alerts", state="all", limit=4, **gateway, **cursor).json
        found += [one["id"] for one in page["items"]]
        if "next" not in page:
            break
        cursor = {"cursor": page["next"]}
    assert found == whole
    assert len(set(found)) == len(found) > 8


def test_a_page_reads_a_bounded_number_of_alerts_and_has_a_next_one(monkeypatch):
    monkeypatch.setattr(alert_queries, "MAX_READ", 5)
    site = site_with(*(("gw-1", n, "a/b" if n else "c/d", Phase.ONSET) for n in range(12)))
    pages, cursor = [], {}
    while True:
        page = site.call("GET", "/v1/alerts", series="c*", **cursor).json
        pages.append(len(page["items"]))
        if "next" not in page:
            break
        cursor = {"cursor": page["next"]}
    assert pages == [0, 0, 1]


def test_a_cursor_is_bound_to_its_filter(site):
    page = site.call("GET", "/v1/alerts", state="all", limit=1).json
    assert site.call("GET", "/v1/alerts", state="open", limit=1, cursor=page["next"]).status == 400
    assert site.call("GET", "/v1/alerts", state="all", limit=2, cursor=page["next"]).status == 200


def test_an_alert_shows_that_its_gateway_is_silent(site):
    shown = site.call("GET", "/v1/alerts", gateway="gw-2").json["items"][0]
    assert (shown["gateway_silent"], shown["gateway_last_seen_ms"]) == (True, None)
    assert site.call("GET", f"/v1/alerts/{shown['id']}").json == shown


def test_an_acknowledgement_is_by_the_caller_and_in_the_history(site):
    (alert,) = site.call("GET", "/v1/alerts", gateway="gw-2").json["items"]
    assert alert["state"] == "acknowledged"
    assert alert["acknowledged_by"] == "arn:aws:iam::1:user/admin"
    history = site.call("GET", f"/v1/alerts/{alert['id']}/history").json["items"]
    assert [one["event"] for one in history][-1] == "acknowledged"
    assert history[-1]["by"] == "arn:aws:iam::1:user/admin"
    assert [one["time_ms"] for one in history] == sorted(one["time_ms"] for one in history)


@pytest.mark.parametrize(
    ("body", "problem"),
    [({"by": "Eve"}, "by: no such key"), ({"comment": 5}, "comment: 5"), ({"comment": "x" * 1001}, "comment: 'xxx")],
)
def test_an_invalid_acknowledgement_is_a_problem(site, body, problem):
    (alert,) = site.call("GET", "/v1/alerts", gateway="gw-2").json["items"]
    answer = site.call("POST", f"/v1/alerts/{alert['id']}/acknowledge", body)
    assert answer.status == 400
    assert answer.problems[0].startswith(problem)


def test_a_resolved_alert_cannot_be_acknowledged(site):
    (alert,) = site.call("GET", "/v1/alerts", state="resolved").json["items"]
    assert site.call("POST", f"/v1/alerts/{alert['id']}/acknowledge").status == 400


def test_open_alerts_are_counted_by_gateway_and_severity(site):
    counts = alert_queries.open_counts(site.alerts, {"gw-1", "gw-2", "gw-3"})
    assert counts["gw-1"] == {"critical": 0, "warning": 2, "info": 0}
    assert counts["gw-2"]["warning"] == 1
    assert counts["gw-3"]["warning"] == 0
    assert site.now_ms == NOW_MS
