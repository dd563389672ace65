"""Status of a gateway: figures, silence, gaps and losses."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace

import numpy as np
import pytest

from cloud_functions.core import gateways, keys
from cloud_functions.core.alerting import AlertBook
from cloud_functions.core.errors import NotFoundError, RequestError
from cloud_functions.core.gateways import Silence
from cloud_functions.core.health import STALE, STALE_S, STATUS
from cloud_functions.core.ingest import Ingest
from cloud_functions.core.ports import Key
from cloud_functions.core.storing import Storer
from tests.unit.cloud.fakes import (
    NOW_MS,
    START_MS,
    CrashError,
    FakeAcknowledger,
    FakeDeadLetterSink,
    FakeTable,
    aggregates,
    body,
    report,
)
from wire.model import Aggregates, Batch, Notice

NOW = Silence(NOW_MS, 60_000)


def deliver(table: FakeTable, *bodies: str, now_ms: int = NOW_MS) -> None:
    storer = Storer(table, lambda: now_ms, 86_400_000)
    log = logging.getLogger("test")
    ingest = Ingest(table, storer, FakeAcknowledger(), FakeDeadLetterSink(), lambda: now_ms, log)
    for at, text in enumerate(bodies):
        ingest.accept(str(at), text)
    ingest.finish()


def batch(sequence: int, gateway: str = "gw-1", epoch: int = 7) -> Batch:
    return Batch(gateway, epoch, sequence, aggregates(sequence))


def before_1970(sequence: int) -> Batch:
    rows = aggregates(sequence)
    return Batch("gw-1", 7, sequence, replace_start(rows, -5))


def replace_start(rows: Aggregates, start_ms: int) -> Aggregates:
    start = rows.start_ms.copy()
    start[0] = start_ms
    return replace(rows, start_ms=np.asarray(start, np.int64))


def test_gateways_are_listed_with_their_figures() -> None:
    table = FakeTable()
    deliver(table, body(batch(1)), body(batch(1)), body(batch(1)), body(batch(5, "gw-2")))
    (one, two), following = gateways.page(table, {}, NOW)
    assert following is None
    assert (one["gateway"], one["batches"], one["rows"], one["duplicates"]) == ("gw-1", 1, 12, 2)
    assert (two["gateway"], two["first_seen_ms"], two["rejected"], two["silent"]) == ("gw-2", NOW_MS, {}, False)


class DyingTable(FakeTable):
    """Table that crashes at the n-th call and at each later one until it is revived."""

    calls_left: int | None = None

    def _check(self, key: Key) -> None:
        if self.calls_left is not None:
            if self.calls_left == 0:
                raise CrashError
            self.calls_left -= 1
        super()._check(key)


def stored(table: FakeTable, gateway: str) -> tuple[int, int, int]:
    """Count the stored batches and rows from the receipts."""
    receipts = [item for item in table.of_kind("batch") if item["pk"] == f"batches#{gateway}"]
    return len(receipts), sum(int(item["rows"]) for item in receipts), sum(int(item["bytes"]) for item in receipts)


def shown(table: FakeTable, gateway: str) -> tuple[int, int, int]:
    figures = gateways.gateway(table, gateway, NOW)
    listed = next(one for one in gateways.page(table, {}, NOW)[0] if one["gateway"] == gateway)
    assert [figures[name] for name in ("batches", "rows", "bytes")] == [listed[n] for n in ("batches", "rows", "bytes")]
    return figures["batches"], figures["rows"], figures["bytes"]


@pytest.mark.parametrize("calls", range(24))
def test_a_gateways_figures_match_the_stored_batches_after_any_crash(calls: int) -> None:
    """Regression: a function that timed out had stored 54 batches, and the figures showed 45."""
    waiting = [body(batch(1)), body(batch(2)), body(batch(1, epoch=8)), body(batch(1, "gw-2")), body(batch(2))]
    table = DyingTable()
    table.calls_left = calls
    with contextlib.suppress(CrashError):
        deliver(table, *waiting)
    died, table.calls_left = table.calls_left == 0, None
    deliver(table, *waiting)  # the queue redelivers all messages of a crashed invocation
    deliver(table, body(batch(1)))
    assert died
    assert shown(table, "gw-1") == stored(table, "gw-1")
    assert stored(table, "gw-1")[:2] == (3, 36)
    assert shown(table, "gw-2") == stored(table, "gw-2")


def test_a_batch_stored_again_after_a_crash_is_counted_once() -> None:
    table = DyingTable()
    table.refuse = lambda key: key.sk.startswith("ack#")
    deliver(table, body(batch(1)))
    table.refuse = lambda key: False
    deliver(table, body(Batch("gw-1", 7, 1, aggregates(9))), body(batch(1)))
    assert shown(table, "gw-1") == stored(table, "gw-1")
    assert gateways.gateway(table, "gw-1", NOW)["rejected"] == {"different": 1}


def test_a_rejected_batch_is_acknowledged_and_not_counted() -> None:
    table = FakeTable()
    deliver(table, body(batch(1)), body(before_1970(2)))
    assert shown(table, "gw-1") == stored(table, "gw-1")
    assert gateways.gateway(table, "gw-1", NOW)["epochs"][0]["cumulative"] == 2


def test_figures_of_an_earlier_version_are_continued() -> None:
    table = FakeTable()
    table.add(keys.about("gw-1"), {"batches": 45, "rows": 100}, {"kind": "about"}, {})
    deliver(table, body(batch(1)))
    assert shown(table, "gw-1")[:2] == (46, 112)


def test_a_gateway_with_rejected_batches_only_is_listed() -> None:
    table = FakeTable()
    deliver(table, body(batch(1), data="AAAA"), body(batch(1), client="somebody"))
    ((one,), _) = gateways.page(table, {}, NOW)
    assert (one["gateway"], one["rejected"]) == ("gw-1", {"codec": 1, "gateway": 1})
    assert (one["batches"], one["last_seen_ms"]) == (0, NOW_MS)


def test_a_gateway_is_shown_with_notice_rejections_and_gaps() -> None:
    table = FakeTable()
    deliver(table, body(batch(1)), now_ms=NOW_MS - 9)
    deliver(table, body(Batch("gw-1", 7, 4, Notice(START_MS, {"reader": {"late": 2}}))), body(before_1970(5)))
    shown = gateways.gateway(table, "gw-1", NOW)
    assert shown["epochs"] == [
        {
            "epoch": f"{7:016x}",
            "batches": 2,
            "rows": 13,
            "cumulative": 1,
            "highest": 5,
            "missing": [[2, 3]],
            "missing_count": 2,
            "gap_since_ms": NOW_MS,
            "first_ms": NOW_MS - 9,
            "changed_ms": NOW_MS,
        }
    ]
    assert shown["notice"] == {"time_ms": START_MS, "counters": {"reader": {"late": 2}}}
    assert shown["rejected"] == {"time": 1}
    with pytest.raises(NotFoundError, match="gateway gw-9 is not known"):
        gateways.gateway(table, "gw-9", NOW)
    with pytest.raises(RequestError, match="gateway"):
        gateways.gateway(table, "gw#9", NOW)


def test_each_acknowledgement_of_an_epoch_is_counted() -> None:
    table = FakeTable()
    deliver(table, body(batch(1)), body(batch(2)))
    deliver(table, body(batch(1)))
    deliver(table, body(batch(1, epoch=8)))
    deliver(table, body(batch(1, "gw-2")))
    assert [one["acknowledgements"] for one in gateways.page(table, {}, NOW)[0]] == [3, 1]
    assert gateways.gateway(table, "gw-1", NOW)["acknowledgements"] == 3


def test_merged_rows_are_those_of_the_spool_in_the_last_notice() -> None:
    table = FakeTable()
    deliver(table, body(batch(1)))
    assert gateways.gateway(table, "gw-1", NOW)["merged"] == 0
    counters = {"Spool": {"rows_merged": 4, "dropped_rows_bulk": 2}, "Forwarder": {"rows_merged": 9}}
    deliver(table, body(Batch("gw-1", 7, 2, Notice(START_MS, counters))))
    figures = gateways.gateway(table, "gw-1", NOW)
    assert (figures["merged"], figures["losses"]) == (4, {"Spool.dropped_rows_bulk": 2})


@pytest.mark.parametrize("name", ["", "gw#9", "a/b", "gw 1", "+", "x" * 200])
def test_the_name_of_a_gateway_is_checked_before_the_table_is_read(name: str) -> None:
    table = FakeTable()
    table.refuse = lambda key: True
    with pytest.raises(RequestError, match="gateway"):
        gateways.gateway(table, name, NOW)
    with pytest.raises(RequestError, match="gateway"):
        gateways.check_name(name)
    assert gateways.check_name("gw-1") == "gw-1"


def test_a_filled_gap_is_not_shown() -> None:
    table = FakeTable()
    deliver(table, body(batch(1)), body(batch(3)))
    assert gateways.gateway(table, "gw-1", NOW)["epochs"][0]["missing"] == [[2, 2]]
    deliver(table, body(batch(2)))
    (epoch,) = gateways.gateway(table, "gw-1", NOW)["epochs"]
    assert (epoch["missing"], epoch["missing_count"], epoch["gap_since_ms"]) == ([], 0, None)


def test_epochs_are_ordered_by_their_beginning() -> None:
    table = FakeTable()
    for at, epoch in enumerate((900, 5, 77)):
        deliver(table, body(batch(1, epoch=epoch)), now_ms=NOW_MS + at)
    assert [int(e["epoch"], 16) for e in gateways.gateway(table, "gw-1", NOW)["epochs"]] == [900, 5, 77]


def test_a_gateway_without_batches_for_the_allowed_time_is_silent() -> None:
    table = FakeTable()
    deliver(table, body(batch(1)))
    assert [Silence(NOW_MS + after, 60_000).of(seen(table)) for after in (0, 60_000, 60_001)] == [False, False, True]
    assert Silence(NOW_MS).of(None)
    assert gateways.gateway(table, "gw-1", Silence(NOW_MS + 60_001, 60_000))["silent"]


def test_repeated_batches_do_not_update_the_last_arrival_of_a_gateway() -> None:
    table = FakeTable()
    deliver(table, body(batch(1)))
    deliver(table, body(batch(2)), body(before_1970(3)), now_ms=NOW_MS + 86_400_000)
    assert seen(table) == NOW_MS
    deliver(table, body(batch(4), received_at=NOW_MS - 86_400_000))
    assert seen(table) == NOW_MS


def seen(table: FakeTable) -> int:
    return int(gateways.gateway(table, "gw-1", NOW)["last_seen_ms"])


def test_an_alert_has_whether_its_gateway_is_silent() -> None:
    table, alerts = FakeTable(), FakeTable()
    deliver(table, body(batch(1)), body(batch(1, "gw-2"), received_at=NOW_MS - 70_000))
    book = AlertBook(alerts, lambda: NOW_MS, 1_000)
    found = [book.report(name, report()).to_dict() for name in ("gw-1", "gw-2", "gw-3")]
    marked = gateways.mark(table, found, NOW)
    assert {a["gateway"]: (a["gateway_silent"], a["gateway_last_seen_ms"]) for a in marked} == {
        "gw-1": (False, NOW_MS),
        "gw-2": (True, NOW_MS - 70_000),
        "gw-3": (True, None),
    }
    assert gateways.mark(table, [], NOW) == []


def test_the_losses_of_a_gateway_are_those_of_its_spool_and_of_other_components() -> None:
    counters = {
        "Spool": {"rows_merged": 4, "dropped_rows_bulk": 2, "spools_damaged": 0},
        "io.strandline.SensorReader": {"readings": 100, "dropped_readings": 3, "rejected_json": 1},
        "io.strandline.Aggregator": {"rejected_late": 5, "rejected_future": 6, "windows": 9, "gaps": 2},
        "io.strandline.OldAggregator": {"late": 8, "invalid_future": 9, "readings_backlog": 1},
        "Forwarder": {"batches_sent_again": 7, "dropped_rows": 2},
    }
    assert gateways.losses(counters) == {
        "Spool.dropped_rows_bulk": 2,
        "io.strandline.Aggregator.rejected_future": 6,
        "io.strandline.Aggregator.rejected_late": 5,
        "io.strandline.OldAggregator.invalid_future": 9,
        "io.strandline.OldAggregator.late": 8,
        "io.strandline.SensorReader.dropped_readings": 3,
        "io.strandline.SensorReader.rejected_json": 1,
    }


@pytest.mark.parametrize("limit", [1, 2, 5, 30])
def test_the_pages_of_gateways_have_each_gateway_once(limit: int) -> None:
    table = FakeTable()
    expected = {f"gw-{number}" for number in range(30)}
    deliver(table, *(body(batch(1, name)) for name in expected))
    assert len({keys.bucket(name) for name in expected}) > 1
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        listed, cursor = gateways.page(table, {"limit": str(limit)} | ({"cursor": cursor} if cursor else {}), NOW)
        assert len(listed) <= limit
        found += [one["gateway"] for one in listed]
    assert len(found) == len(expected)
    assert set(found) == expected == set(gateways.names(table))


def test_a_component_does_not_report_any_more_from_the_stated_age_of_its_status() -> None:
    table = FakeTable()
    status = {f"{STALE}Late": STALE_S, f"{STALE}Good": STALE_S - 1, "spool_bytes": 7, "other": 9 * STALE_S}
    notice = Notice(START_MS, {"Late": {"rows": 1}, "Good": {"rows": 1}, "Spool": {"rows": 1}, STATUS: status})
    deliver(table, body(Batch("gw-1", 7, 1, notice), received_at=START_MS + 40))
    assert gateways.gateway(table, "gw-1", NOW)["health"] == {
        "components": {"Good": "RUNNING", "Late": "NOT_REPORTING"},
        "spool_bytes": 7,
        "clock_offset_ms": -40,
    }


def test_a_notice_without_counters_is_not_shown() -> None:
    table = FakeTable()
    deliver(table, body(Batch("gw-1", 7, 1, Notice(START_MS, {}))))
    shown = gateways.gateway(table, "gw-1", NOW)
    assert (shown["notice"], shown["losses"], shown["merged"]) == (None, {}, 0)
