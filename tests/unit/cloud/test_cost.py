"""Cost calculation: each item with the pricing rules of AWS."""

from __future__ import annotations

import pytest

from cloud_functions.costs.prices import Prices
from device_sim.aws.cost import cost
from device_sim.aws.store import item_bytes

USAGE = {
    "batches": 900_000.0,
    "duplicates": 100_000.0,
    "metered_batches": 1_000_000.0,
    "acknowledgements": 500_000.0,
    "alert_transitions": 1_000.0,
    "write_units": 2_000_000.0,
    "table_items_read": 1_000_000.0,
    "table_bytes": 2.0 * 1024**3,
    "ingest_invocations": 100_000.0,
    "ingest_gb_s": 10_000.0,
    "alerting_invocations": 0.0,
    "alerting_gb_s": 0.0,
    "api_invocations": 0.0,
    "api_gb_s": 0.0,
    "forecast_invocations": 0.0,
    "forecast_gb_s": 0.0,
}


def test_each_item_has_its_price() -> None:
    items = cost(USAGE)["items"]
    assert items["iot rules and actions"] == pytest.approx(0.30)
    assert items["iot acknowledgements"] == pytest.approx(0.50)
    assert items["iot alerts"] == pytest.approx(0.001)
    assert items["sqs"] == pytest.approx(1.201 * 0.40)
    assert items["lambda requests"] == pytest.approx(0.02)
    assert items["lambda time"] == pytest.approx(0.133334)
    assert items["dynamodb writes"] == pytest.approx(1.25)
    assert items["dynamodb reads"] == pytest.approx(0.125)
    assert items["http api"] == 0


def test_notify_watch_and_archive_are_charged_like_the_other_functions() -> None:
    added = {f"{name}_{what}": 1e6 for name in ("notify", "watch", "archive") for what in ("invocations", "gb_s")}
    before, after = cost(USAGE)["items"], cost(USAGE | added)["items"]
    assert after["lambda requests"] - before["lambda requests"] == pytest.approx(0.60)
    assert after["lambda time"] - before["lambda time"] == pytest.approx(3 * 13.3334)
    assert after["sqs"] - before["sqs"] == pytest.approx(2 * 0.40)


def test_the_total_is_the_sum_and_divided_by_the_readings() -> None:
    bill = cost(USAGE | {"readings": 4_000_000.0})
    assert bill["total_usd"] == pytest.approx(sum(bill["items"].values()))
    assert bill["usd_per_million_readings"] == pytest.approx(bill["total_usd"] / 4)
    assert cost(USAGE)["usd_per_million_readings"] is None


def test_storage_is_charged_by_month_and_not_part_of_the_total() -> None:
    bill = cost(USAGE)
    assert bill["storage_usd_per_month"] == pytest.approx(0.50)
    assert cost(USAGE | {"table_bytes": 0.0})["total_usd"] == bill["total_usd"]


def test_prices_depend_on_the_region() -> None:
    assert cost(USAGE, Prices(iot_message=2.0))["items"]["iot acknowledgements"] == pytest.approx(1.0)


def test_the_size_of_an_item_is_that_of_dynamodb() -> None:
    assert item_bytes({"pk": "ab", "n": 12345, "columns": b"1234"}) == 4 + 1 + 4 + 7 + 4
