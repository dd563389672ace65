"""Estimate of the account's charges at its present rate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cloud_functions.core import keys
from cloud_functions.core.catalogue import gateway_item
from cloud_functions.costs import account
from cloud_functions.costs.account import AccountTraffic, charges, estimate
from cloud_functions.costs.fleet_cost import MONTH_S, Fleet, Measured, monthly
from tests.unit.cloud.api_site import ApiSite
from tests.unit.cloud.fakes import NOW_MS, FakeTable, report
from wire.model import Anomaly

DAY_MS = 86_400_000
DAY_BATCHES = 1_440
MEASURED = Measured.stored()


def connected(table: FakeTable, name: str, *, days: float = 10, seen_ms: int = NOW_MS, notice: bool = True) -> None:
    """Store what a gateway leaves that sends a batch of 600 rows a minute, a notice every 5, from 100 series."""
    ack, about = keys.acknowledgement(name, 1), keys.about(name, keys.NOTICE)
    batches = int(days * DAY_BATCHES)
    totals = {
        "batches": batches + (batches // 5 if notice else 0),
        "rows": batches * 600,
        "bytes": batches * round(MEASURED.batch_bytes),
    }
    first_ms = NOW_MS - int(days * DAY_MS)
    times = {"first_ms": first_ms, "changed_ms": NOW_MS, "seen_ms": seen_ms}
    items: list[Any] = [gateway_item(name)]
    items.append({"pk": ack.pk, "sk": ack.sk, "kind": "ack", "cumulative": 1, "ranges": "[]", **totals, **times})
    if notice:
        items.append(
            {"pk": about.pk, "sk": about.sk, "kind": "notice", "time_ms": 1, "received_ms": 1, "counters": "{}"}
        )
    for at in range(100):
        key = keys.series(name, f"s{at}")
        items.append({"pk": key.pk, "sk": key.sk, "kind": "series", "unit": "", "resolution": ""})
    table.put_many(items)


def estimated(table: FakeTable) -> dict[str, Any]:
    return estimate(table, FakeTable(), NOW_MS, MEASURED, 7 * DAY_MS, 90 * DAY_MS)


def began(onset_ms: int) -> Anomaly:
    return replace(report(), onset_ms=onset_ms, time_ms=onset_ms + 1_000)


def test_the_estimate_of_a_steady_fleet_is_that_of_the_same_fleet_by_its_settings():
    table = FakeTable()
    for at in range(3):
        connected(table, f"gw-{at}")
    found = estimated(table)
    fleet = Fleet(gateways=3)
    assert found["month"]["batches"] == pytest.approx(fleet.batches, rel=1e-6)
    assert found["month"]["notices"] == pytest.approx(fleet.notices)
    assert found["month"]["rows"] == pytest.approx(fleet.rows, rel=1e-6)
    assert found["month"]["posts"] == 0
    quiet = replace(fleet, gateway_alerts=0.0)
    assert found["items"] == pytest.approx(monthly(quiet, MEASURED) | {"http telemetry": 0.0}, rel=0.01)
    assert found["total"] == pytest.approx(sum(found["items"].values()))
    assert found["greengrass"] == pytest.approx(3 * 0.16)
    assert found["since_ms"] == NOW_MS - 10 * DAY_MS


def test_a_gateway_that_was_not_seen_for_a_day_has_no_present_rate():
    table = FakeTable()
    connected(table, "gw-1")
    connected(table, "gw-2", seen_ms=NOW_MS - DAY_MS - 1)
    found = estimated(table)
    assert (found["gateways"], found["gateways_active"]) == (2, 1)
    assert found["month"]["batches"] == pytest.approx(MONTH_S / 60, rel=1e-4)


def test_of_many_gateways_some_are_read_and_stand_for_all(monkeypatch):
    table = FakeTable()
    for at in range(12):
        connected(table, f"gw-{at}")
    all_read = estimated(table)
    monkeypatch.setattr(account, "MAX_READ", 4)
    found = estimated(table)
    assert (found["gateways"], found["gateways_read"], found["gateways_active"]) == (12, 4, 12)
    assert found["month"] == pytest.approx(all_read["month"])
    assert found["total"] == pytest.approx(all_read["total"])


def test_the_rate_of_the_first_batch_is_taken_over_a_minute():
    table = FakeTable()
    connected(table, "gw-1", days=1 / DAY_BATCHES / 60, notice=False)
    assert estimated(table)["month"]["batches"] == 0
    connected(table, "gw-1", days=1 / DAY_BATCHES, notice=False)
    assert estimated(table)["month"]["batches"] == pytest.approx(MONTH_S / 60)


def test_telemetry_over_http_is_charged_by_request_and_not_as_iot_messages():
    traffic = AccountTraffic(gateways=0, batches=0, notices=0, rows=6e8, bytes=1e9, posts=1e6, series=100)
    items = charges(traffic, MEASURED, 7 * DAY_MS, 90 * DAY_MS)
    assert items["iot acknowledgements, sent and delivered"] == items["lambda time of ingest"] == 0
    assert items["http telemetry"] > 1.0 + 0.2 + 3 * 0.625
    twice = charges(AccountTraffic(0, 0, 0, 12e8, 2e9, 2e6, 100), MEASURED, 7 * DAY_MS, 90 * DAY_MS)
    assert twice["http telemetry"] == pytest.approx(2 * items["http telemetry"])


def test_an_empty_account_has_the_fixed_charges_only():
    found = estimated(FakeTable())
    assert found["since_ms"] is None
    assert {name for name, usd in found["items"].items() if usd} == {
        "metrics, alarms and dashboard",
        "sqs polls of idle queues",
    }


def test_alerts_of_the_last_month_are_counted():
    site = ApiSite()
    site.rows(n=10)
    site.now_ms += 20 * DAY_MS
    site.rows(n=10)
    site.services.book.report("gw-1", began(site.now_ms - 60_000))
    site.services.book.report("gw-1", began(site.now_ms - 40 * DAY_MS))
    shown = site.call("GET", "/v1/costs").json
    assert shown["month"]["alerts"] == round(MONTH_S / (20 * 86_400))
    assert shown["items"]["publications of alerts"] > 0


def test_the_api_shows_the_estimate_to_viewers():
    site = ApiSite()
    site.rows(n=10)
    site.now_ms += 600_000
    shown = site.call("GET", "/v1/costs", role="viewer").json
    assert shown["month"]["posts"] == pytest.approx(MONTH_S / 600, rel=0.01)
    assert shown["month"]["batches"] == 0
    assert shown["items"]["http telemetry"] > 0
    assert site.call("GET", "/v1/costs", role=None).status == 403
