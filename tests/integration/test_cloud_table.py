"""Contract tests of the table port, for the fake of the unit tests and for DynamoDB."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from cloud_functions.adapters.dynamodb import DynamoTable
from cloud_functions.core.errors import StoreError
from cloud_functions.core.ports import Item, Key, Table
from device_sim.aws.local import LocalCloud
from tests.unit.cloud.fakes import FakeTable

_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with LocalCloud.start(tmp_path_factory.mktemp("cloud")) as running:
        yield running


@pytest.fixture(params=["fake", "dynamodb"])
def table(request: pytest.FixtureRequest) -> Table:
    if request.param == "fake":
        return FakeTable()
    cloud: LocalCloud = request.getfixturevalue("cloud")
    return DynamoTable(cloud.outputs["AlertsTableName"], cloud.client("dynamodb"))


@pytest.fixture(params=["fake", "dynamodb"])
def telemetry(request: pytest.FixtureRequest) -> Table:
    if request.param == "fake":
        return FakeTable()
    cloud: LocalCloud = request.getfixturevalue("cloud")
    return DynamoTable(cloud.outputs["TelemetryTableName"], cloud.client("dynamodb"))


@pytest.fixture
def pk() -> str:
    return f"partition-{next(_NUMBERS)}"


def item(pk: str, sk: str = "a", **attributes: str | int | bytes) -> Item:
    return {"pk": pk, "sk": sk, "kind": "test", **attributes}


def test_an_item_is_written_and_read_unchanged(table: Table, pk: str) -> None:
    whole = item(pk, number=2**53 + 1, negative=-5, binary=bytes(range(256)), empty="", text="Ω#/ü")
    table.put_many([whole])
    assert table.get(Key(pk, "a")) == whole
    assert table.get(Key(pk, "b")) is None


def test_many_items_are_all_put(table: Table, pk: str) -> None:
    items = [item(pk, f"{at:04d}", number=at) for at in range(130)]
    table.put_many(items)
    assert list(table.query(pk)) == items


def test_a_new_item_is_put_once(table: Table, pk: str) -> None:
    assert table.put_new(item(pk, number=1)) is None
    assert table.put_new(item(pk, number=2)) == item(pk, number=1)
    assert table.get(Key(pk, "a")) == item(pk, number=1)


def test_a_replacement_needs_the_version_that_was_read(table: Table, pk: str) -> None:
    assert table.replace(item(pk, n=1), 0)
    assert not table.replace(item(pk, n=2), 0)
    assert table.replace(item(pk, n=3), 1)
    assert not table.replace(item(pk, n=4), 1)
    assert table.get(Key(pk, "a")) == item(pk, n=3, version=2)


def test_a_deletion_needs_the_version_that_was_read(table: Table, pk: str) -> None:
    table.put_many([item(pk, version=7)])
    assert not table.delete(Key(pk, "a"), 6)
    assert table.delete(Key(pk, "a"), 7)
    assert not table.delete(Key(pk, "a"), 7)
    assert table.get(Key(pk, "a")) is None


def test_adding_counts_sets_and_keeps_the_first_values(table: Table, pk: str) -> None:
    key = Key(pk, "a")
    table.add(key, {"batches": 2}, {"kind": "about", "seen": 5}, {"first": 5})
    table.add(key, {"batches": 3, "rejected_codec": 1}, {"seen": 9}, {"first": 9})
    after = item(pk, kind="about", batches=5, rejected_codec=1, seen=9, first=5)
    assert table.get(key) == after
    table.add(key, {"batches": 1}, {}, {})
    assert table.get(key) == after | {"batches": 6}


def test_a_query_gives_a_range_in_order_and_backwards(table: Table, pk: str) -> None:
    names = ["", "0", "10", "1", "2#x", "2"]
    table.put_many([item(pk, f"k{name}") for name in names])
    table.put_many([item(pk + "x", "k1")])

    def found(*span: str, newest_first: bool = False) -> list[str]:
        return [str(one["sk"]) for one in table.query(pk, *span, newest_first=newest_first)]

    assert found() == ["k", "k0", "k1", "k10", "k2", "k2#x"]
    assert found("k1", "k2") == ["k1", "k10", "k2"]
    assert found("k1", "k2", newest_first=True) == ["k2", "k10", "k1"]
    assert found("k1\x01") == ["k10", "k2", "k2#x"]
    assert list(table.query(pk + "y")) == []


def test_a_query_continues_beyond_the_page_of_a_megabyte(table: Table, pk: str) -> None:
    items = [item(pk, f"{at}", binary=bytes(300_000)) for at in range(8)]
    table.put_many(items)
    assert [one["sk"] for one in table.query(pk)] == [str(at) for at in range(8)]


def test_a_global_index_gives_the_items_under_its_attribute(table: Table, pk: str) -> None:
    table.put_many([item(pk, sk, listed=f"state-{pk}" if sk != "b" else f"other-{pk}") for sk in "cba"])
    found = table.query_index("by_state", f"state-{pk}", newest_first=True)
    assert [one["sk"] for one in found] == ["c", "a"]


def test_a_local_index_gives_whole_items_in_a_range_at_once(telemetry: Table, pk: str) -> None:
    items = [item(pk, f"{9 - at}", at=f"0#{at}", binary=bytes(2_000)) for at in range(6)]
    telemetry.put_many([*items, item(pk, "without"), item(pk + "x", "a", at="0#3")])
    assert list(telemetry.query_index("by_time", pk, "0#2", "0#4")) == items[2:5]


def test_a_local_index_gives_items_that_lie_far_apart(telemetry: Table, pk: str) -> None:
    wanted = [item(pk, f"{at:03d}", at=f"0#{at:03d}") for at in (0, 40, 80)]
    others = [item(pk, f"{at:03d}", at=f"9#{at:03d}") for at in range(80) if at not in (0, 40)]
    telemetry.put_many([*wanted, *others])
    assert list(telemetry.query_index("by_time", pk, "0#", "0#~")) == wanted


def test_a_missing_table_is_a_store_error(cloud: LocalCloud) -> None:
    missing = DynamoTable("nowhere", cloud.client("dynamodb"))
    with pytest.raises(StoreError, match="get a b: ResourceNotFoundException"):
        missing.get(Key("a", "b"))
    with pytest.raises(StoreError, match="batch write"):
        missing.put_many([item("a")])
