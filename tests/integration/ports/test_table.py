"""Contract of the table: conditional writes, ranges and indexes, also under conflicts and faults."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cloud_functions.core.errors import StoreError
from cloud_functions.core.ports import ErasableTable, Item, Key
from tests.integration.ports.cloud import Adapters, Cloud
from tests.integration.ports.conftest import Interruptions, fresh_name
from tests.integration.ports.faults import Fault


@pytest.fixture
def table(adapters: Adapters) -> ErasableTable:
    return adapters.alerts


@pytest.fixture
def telemetry(adapters: Adapters) -> ErasableTable:
    return adapters.telemetry


def item(pk: str, sk: str = "a", **attributes: str | int | bytes) -> Item:
    return {"pk": pk, "sk": sk, "kind": "test", **attributes}


def test_an_item_is_written_and_read_unchanged(table: ErasableTable, pk: str) -> None:
    whole = item(pk, number=2**53 + 1, negative=-5, binary=bytes(range(256)), empty="", text="Ω#/ü")
    table.put_many([whole])
    assert table.get(Key(pk, "a")) == whole
    assert table.get(Key(pk, "b")) is None


def test_many_items_are_all_put(table: ErasableTable, pk: str) -> None:
    items = [item(pk, f"{at:04d}", number=at) for at in range(130)]
    table.put_many(items)
    assert list(table.query(pk)) == items


def test_a_new_item_is_put_once(table: ErasableTable, pk: str) -> None:
    assert table.put_new(item(pk, number=1)) is None
    assert table.put_new(item(pk, number=2)) == item(pk, number=1)
    assert table.get(Key(pk, "a")) == item(pk, number=1)


def test_a_replacement_needs_the_version_that_was_read(table: ErasableTable, pk: str) -> None:
    assert table.replace(item(pk, n=1), 0)
    assert not table.replace(item(pk, n=2), 0)
    assert table.replace(item(pk, n=3), 1)
    assert not table.replace(item(pk, n=4), 1)
    assert table.get(Key(pk, "a")) == item(pk, n=3, version=2)


def test_a_deletion_needs_the_version_that_was_read(table: ErasableTable, pk: str) -> None:
    table.put_many([item(pk, version=7)])
    assert not table.delete(Key(pk, "a"), 6)
    assert table.delete(Key(pk, "a"), 7)
    assert not table.delete(Key(pk, "a"), 7)
    assert table.get(Key(pk, "a")) is None


def test_adding_counts_sets_and_keeps_the_first_values(table: ErasableTable, pk: str) -> None:
    key = Key(pk, "a")
    table.add(key, {"batches": 2}, {"kind": "about", "seen": 5}, {"first": 5})
    table.add(key, {"batches": 3, "rejected_codec": 1}, {"seen": 9}, {"first": 9})
    after = item(pk, kind="about", batches=5, rejected_codec=1, seen=9, first=5)
    assert table.get(key) == after
    table.add(key, {"batches": 1}, {}, {})
    assert table.get(key) == after | {"batches": 6}


def test_a_query_gives_a_range_in_order_and_backwards(table: ErasableTable, pk: str) -> None:
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


def test_a_query_continues_beyond_the_page_of_a_megabyte(table: ErasableTable, pk: str) -> None:
    items = [item(pk, f"{at}", binary=bytes(300_000)) for at in range(8)]
    table.put_many(items)
    assert [one["sk"] for one in table.query(pk)] == [str(at) for at in range(8)]


def test_a_global_index_gives_the_items_under_its_attribute(table: ErasableTable, pk: str) -> None:
    table.put_many([item(pk, sk, listed=f"state-{pk}" if sk != "b" else f"other-{pk}") for sk in "cba"])
    found = table.query_index("by_state", f"state-{pk}", newest_first=True)
    assert [one["sk"] for one in found] == ["c", "a"]


def test_a_local_index_gives_whole_items_in_a_range_at_once(telemetry: ErasableTable, pk: str) -> None:
    items = [item(pk, f"{9 - at}", at=f"0#{at}", binary=bytes(2_000)) for at in range(6)]
    telemetry.put_many([*items, item(pk, "without"), item(pk + "x", "a", at="0#3")])
    assert list(telemetry.query_index("by_time", pk, "0#2", "0#4")) == items[2:5]


def test_a_local_index_gives_items_that_lie_far_apart(telemetry: ErasableTable, pk: str) -> None:
    wanted = [item(pk, f"{at:03d}", at=f"0#{at:03d}") for at in (0, 40, 80)]
    others = [item(pk, f"{at:03d}", at=f"9#{at:03d}") for at in range(80) if at not in (0, 40)]
    telemetry.put_many([*wanted, *others])
    assert list(telemetry.query_index("by_time", pk, "0#", "0#~")) == wanted


def test_an_index_follows_each_change_of_its_attribute(table: ErasableTable, telemetry: ErasableTable, pk: str) -> None:
    def listed(state: str) -> list[object]:
        return [one["n"] for one in table.query_index("by_state", f"{state}-{pk}")]

    assert table.replace(item(pk, listed=f"open-{pk}", n=1), 0)
    assert table.replace(item(pk, listed=f"open-{pk}", n=2), 1)
    assert (listed("open"), listed("ended")) == ([2], [])
    assert table.replace(item(pk, listed=f"ended-{pk}", n=3), 2)
    assert (listed("open"), listed("ended")) == ([], [3])
    assert table.replace(item(pk, listed=f"open-{pk}", n=4), 3)
    assert (listed("open"), listed("ended")) == ([4], [])
    assert table.replace(item(pk, n=5), 4)
    assert listed("open") == []
    assert telemetry.put_new(item(pk, at="1#1")) is None
    telemetry.put_many([item(pk, at="2#1")])
    assert [one["at"] for one in telemetry.query_index("by_time", pk)] == ["2#1"]
    telemetry.remove([Key(pk, "a")])
    assert list(telemetry.query_index("by_time", pk)) == []


def test_items_of_several_partitions_are_read_by_key(table: ErasableTable, pk: str) -> None:
    items = [item(f"{pk}-{at % 3}", f"{at}", n=at) for at in range(150)]
    table.put_many(items)
    keys = [Key(str(one["pk"]), str(one["sk"])) for one in items]
    assert table.get_many([*keys, Key(pk, "missing")]) == dict(zip(keys, items, strict=True))
    table.remove([*keys, Key(pk, "missing")])
    assert table.get_many(keys) == {}


def test_names_of_series_and_groups_are_keys(table: ErasableTable, pk: str) -> None:
    names = [
        "a/b",
        "a#b",
        "a.b",
        "a:b",
        "a|b",
        "a_b",
        "a-b",
        "a b",
        "a%b",
        "a+b",
        "a?b",
        "a\\b",
        "a'b",
        'a"b',
        "a\x7fb",
    ]
    table.put_many([item(pk, name) for name in names])
    assert [one["sk"] for one in table.query(pk, last="b")] == sorted(names)
    for name in names:
        assert table.get(Key(pk, name)) == item(pk, name)
        assert [one["sk"] for one in table.query(pk, name, name)] == [name]
    for name in names:
        assert table.put_new(item(f"{pk}{name}", "x")) is None
        assert [one["pk"] for one in table.query(f"{pk}{name}")] == [f"{pk}{name}"]


def test_the_largest_item_is_stored_unchanged(table: ErasableTable, pk: str) -> None:
    """Nearly the 400 KB that an item of DynamoDB can have, of bytes or of text."""
    binary, text = item(pk, "b", data=bytes(range(256)) * 1_500, n=1), item(pk, "t", data="a\u00e9\u20ac" * 64_000, n=2)
    assert table.put_new(binary) is None
    assert table.replace(text, 0)
    assert table.get(Key(pk, "b")) == binary
    assert table.get(Key(pk, "t")) == text | {"version": 1}
    assert table.replace(item(pk, "t", data="short"), 1)
    assert table.get(Key(pk, "t")) == item(pk, "t", data="short", version=2)


def at_once(*acts: Callable[[], object]) -> list[object]:
    """Run functions at the same time, each in a thread; return their results, or the errors that they raised."""
    results: list[object] = [None] * len(acts)
    ready = threading.Barrier(len(acts))

    def run(at: int) -> None:
        ready.wait()
        try:
            results[at] = acts[at]()
        except StoreError as error:
            results[at] = error

    threads = [threading.Thread(target=run, args=(at,)) for at in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_of_several_writers_at_once_one_puts_a_new_item(cloud: Cloud, table: ErasableTable, pk: str) -> None:
    tables = [cloud.connect().alerts for _ in range(6)]
    results = at_once(*(functools.partial(one.put_new, item(pk, n=n)) for n, one in enumerate(tables)))
    there = table.get(Key(pk, "a"))
    assert results.count(None) == 1
    assert there == item(pk, n=results.index(None))
    assert [one for one in results if one is not None] == [there] * 5


def test_of_several_writers_at_once_each_version_has_one(cloud: Cloud, table: ErasableTable, pk: str) -> None:
    tables = [cloud.connect().alerts for _ in range(4)]
    for version in range(4):
        writes = [
            functools.partial(one.replace, item(pk, n=n, listed=f"x{n}-{pk}"), version) for n, one in enumerate(tables)
        ]
        results = at_once(*writes)
        assert sorted(results, key=bool) == [False, False, False, True]
        winner = results.index(True)
        assert table.get(Key(pk, "a")) == item(pk, n=winner, version=version + 1, listed=f"x{winner}-{pk}")
        found = [list(table.query_index("by_state", f"x{n}-{pk}")) for n in range(4)]
        assert [len(one) for one in found] == [int(n == winner) for n in range(4)]


def test_amounts_of_several_writers_at_once_are_all_added(cloud: Cloud, table: ErasableTable, pk: str) -> None:
    tables = [cloud.connect().alerts for _ in range(4)]
    key = Key(pk, "a")
    for at in range(3):
        amounts: tuple[Any, ...] = (key, {"n": 1}, {"kind": "test"}, {"first": at})
        results = at_once(*(functools.partial(one.add, *amounts) for one in tables))
        assert results == [None] * 4
    assert table.get(key) == item(pk, n=12, first=0)


def test_a_repeated_write_of_many_items_is_whole_after_a_fault_at_any_call(interruptions: Interruptions) -> None:
    def act(adapters: Adapters, name: str) -> None:
        adapters.telemetry.put_many([item(name, f"{n:03d}", n=n) for n in range(60)])
        adapters.telemetry.remove([Key(name, f"{n:03d}") for n in range(30)])

    def check(adapters: Adapters, name: str) -> None:
        assert list(adapters.telemetry.query(name)) == [item(name, f"{n:03d}", n=n) for n in range(30, 60)]

    interruptions.at_every_call(act, check)


def test_a_new_item_is_put_once_after_a_fault_at_any_call(interruptions: Interruptions) -> None:
    def act(adapters: Adapters, name: str) -> None:
        whole = item(name, n=1, at="0#1", data=bytes(5_000))
        assert adapters.telemetry.put_new(whole) in (None, whole)

    def check(adapters: Adapters, name: str) -> None:
        whole = item(name, n=1, at="0#1", data=bytes(5_000))
        assert adapters.telemetry.put_new(item(name, n=2)) == whole
        assert list(adapters.telemetry.query(name)) == [whole]
        assert list(adapters.telemetry.query_index("by_time", name)) == [whole]

    interruptions.at_every_call(act, check)


def count_up(table: ErasableTable, key: Key, state: str, by: str) -> None:
    """Record ``by`` in an item and give it another state, as every optimistic update of the core does."""
    while True:
        there = table.get(key) or {"version": 0, "seen": ""}
        if by in str(there["seen"]).split():
            return
        fresh = item(key.pk, key.sk, seen=str(there["seen"]) + f" {by}", listed=f"{state}-{key.pk}")
        if table.replace(fresh, int(there["version"])):
            return


def test_an_optimistic_update_counts_once_after_a_fault_at_any_call(interruptions: Interruptions) -> None:
    def act(adapters: Adapters, name: str) -> None:
        count_up(adapters.alerts, Key(name, "a"), "open", "1")
        count_up(adapters.alerts, Key(name, "a"), "ended", "2")

    def check(adapters: Adapters, name: str) -> None:
        whole = item(name, seen=" 1 2", listed=f"ended-{name}", version=2)
        assert adapters.alerts.get(Key(name, "a")) == whole
        assert list(adapters.alerts.query_index("by_state", f"ended-{name}")) == [whole]
        assert list(adapters.alerts.query_index("by_state", f"open-{name}")) == []

    interruptions.at_every_call(act, check, again=2)


def test_an_interrupted_addition_is_made_as_a_whole_or_not_at_all(interruptions: Interruptions) -> None:
    """The port has no addition that is made once: what it counts are figures, too low or too high after a crash."""

    def act(adapters: Adapters, name: str) -> None:
        adapters.alerts.add(Key(name, "a"), {"n": 2, "m": 3}, {"kind": "test"}, {"first": 1})

    def check(adapters: Adapters, name: str) -> None:
        found = adapters.alerts.get(Key(name, "a"))
        assert found in (item(name, n=2, m=3, first=1), item(name, n=4, m=6, first=1))

    interruptions.at_every_call(act, check)


def test_a_throttled_request_is_a_store_error_or_repeated(cloud: Cloud, adapters: Adapters, pk: str) -> None:
    table, key = adapters.telemetry, Key(pk, "a")
    table.put_many([item(pk, version=1, at="0#1")])
    requests: list[Callable[[], object]] = [
        lambda: table.get(key),
        lambda: table.get_many([key]),
        lambda: list(table.query(pk)),
        lambda: list(table.query_index("by_time", pk)),
        lambda: table.put_many([item(pk, "b")]),
        lambda: table.put_new(item(pk, fresh_name())),
        lambda: table.replace(item(pk, "c"), 0),
        lambda: table.add(Key(pk, "d"), {"n": 1}, {}, {}),
        lambda: table.remove([Key(pk, "b")]),
        lambda: table.delete(key, 9),
    ]
    for request in requests:
        cloud.faults.at(0, Fault.THROTTLED)
        with contextlib.suppress(StoreError):
            request()
        assert cloud.faults.happened
    cloud.faults.stop()
    assert table.get(key) == item(pk, version=1, at="0#1")
