"""Monthly charges of a fleet."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from cloud_functions.core import watch
from cloud_functions.costs.fleet_cost import (
    MONTH_S,
    WATCH_FEW,
    WATCH_S,
    WATCH_SLOTS,
    WATCH_WORKERS,
    Fleet,
    Measured,
    json_batch,
    message_per_reading,
    monthly,
    sitewise,
    watch_s,
)
from cloud_functions.costs.prices import US_EAST_1

FLEET, MEASURED = Fleet(), Measured.stored()


def test_messages_have_three_prices() -> None:
    assert US_EAST_1.iot_messages(1e6) == pytest.approx(1.0)
    assert US_EAST_1.iot_messages(1e9) == pytest.approx(1_000)
    assert US_EAST_1.iot_messages(6e9) == pytest.approx(1_000 + 4_000 * 0.8 + 1_000 * 0.7)


def test_a_fleet_is_counted_by_month() -> None:
    assert FLEET.batches == 10_000 * 730 * 60
    assert FLEET.rows == FLEET.batches * 600
    assert FLEET.readings == FLEET.rows


def test_acknowledgements_are_charged_in_both_directions() -> None:
    few = Fleet(gateways=1)
    items = monthly(few, MEASURED)
    arrivals = few.batches + 730 * 12
    assert items["iot acknowledgements, sent and delivered"] == pytest.approx(2 * arrivals / 1e6)
    assert items["dynamodb writes of batches"] == pytest.approx(few.batches * 4 * 0.625 / 1e6)


def test_more_cpu_bytes_and_days_cost_more() -> None:
    base = sum(monthly(FLEET, MEASURED).values())
    for change in ("ingest_cpu_ms", "compaction_cpu_ms", "write_units", "item_bytes", "archive_bytes_per_row"):
        assert sum(monthly(FLEET, replace(MEASURED, **{change: 2 * getattr(MEASURED, change)})).values()) > base
    assert sum(monthly(FLEET, MEASURED, raw_days=14).values()) > base


def test_figures_follow_rows_and_series_of_a_fleet() -> None:
    assert asdict(MEASURED.of(FLEET)) == pytest.approx(asdict(MEASURED))
    half = MEASURED.of(Fleet(series=50))
    assert half.batch_bytes == pytest.approx(MEASURED.batch_bytes / 2)
    assert half.rollup_bytes == pytest.approx(MEASURED.rollup_bytes / 2)
    assert half.write_units == MEASURED.write_units
    assert MEASURED.of(Fleet(series=300)).write_units > MEASURED.write_units


def test_alerting_is_charged_by_gateways_and_alerts():
    few, more = Fleet(gateways=10), Fleet(gateways=10, gateway_alerts=100.0)
    # Of few gateways all are watched each minute.
    units = 10 * MONTH_S / 60 * 5 * MEASURED.watch_write_units * 0.625 / 1e6
    assert monthly(few, MEASURED)["dynamodb writes of watch"] == pytest.approx(units)
    quiet, busy = monthly(few, MEASURED), monthly(more, MEASURED)
    changed = {name for name in quiet if quiet[name] != busy[name]}
    assert changed == {
        "dynamodb writes of alerts",
        "e-mails of alerts",
        "lambda requests and time of notify",
        "publications of alerts",
        "sqs deliveries",
    }
    assert all(busy[name] == pytest.approx(100 * quiet[name]) for name in changed)


def test_the_settings_of_the_watch_are_those_of_its_code():
    assert (WATCH_WORKERS, WATCH_FEW, WATCH_SLOTS) == (watch.SHARDS, watch.FEW, watch.SLOTS)


def test_the_watch_of_ten_thousand_gateways_keeps_up():
    assert watch_s(FLEET, MEASURED) < WATCH_WORKERS * WATCH_S
    ruled = replace(FLEET, ruled=0.5)
    assert watch_s(FLEET, MEASURED) < watch_s(ruled, MEASURED) < watch_s(replace(FLEET, ruled=1.0), MEASURED)
    changed = {name for name, usd in monthly(ruled, MEASURED).items() if usd != monthly(FLEET, MEASURED)[name]}
    assert changed == {"lambda time of watch", "dynamodb writes of watch", "dynamodb reads of watch"}


def test_a_watch_that_is_behind_is_charged_for_all_of_its_time():
    fleet = Fleet(gateways=1_000_000)
    assert watch_s(fleet, MEASURED) > WATCH_WORKERS * WATCH_S
    charged = MONTH_S * WATCH_WORKERS * 0.0000133334
    assert monthly(fleet, MEASURED)["lambda time of watch"] == pytest.approx(charged)


def test_simpler_storage_designs_cost_more() -> None:
    ours = sum(monthly(FLEET, MEASURED).values())
    assert message_per_reading(FLEET) > 100 * ours
    assert json_batch(FLEET, MEASURED) > ours
    assert sitewise(FLEET) > ours


def test_up_to_ten_values_of_a_series_are_one_message_of_sitewise() -> None:
    # 100 series, one message of six values a minute each.
    assert sitewise(Fleet(gateways=1)) == pytest.approx(100 * 43_800 / 1e6)
    assert sitewise(Fleet(gateways=1, rate=0.2)) == pytest.approx(2 * 100 * 43_800 / 1e6)
    # A reading in ten minutes is a message of its own.
    assert sitewise(Fleet(gateways=1, rate=1 / 600)) == pytest.approx(100 * 4_380 / 1e6)
