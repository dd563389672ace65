"""Ingest: exactly-once storage despite repetitions, reordering and crashes."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_functions.core import keys
from cloud_functions.core.batch_rows import rows_of
from cloud_functions.core.batches import StoredBatch
from cloud_functions.core.errors import StoreError
from cloud_functions.core.ingest import Ingest
from cloud_functions.core.ports import Item, Key
from cloud_functions.core.storing import Storer
from tests.examples import examples
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
from wire import codec
from wire.acknowledgement import Acknowledgement
from wire.model import AGGREGATE_COLUMNS, Aggregates, Anomalies, Batch, Notice, Phase
from wire.summary import Summary

LOG = logging.getLogger("test")
RETENTION_MS = 86_400_000


class Site:
    """Ingest function on fakes."""

    def __init__(self, table: FakeTable | None = None) -> None:
        self.table = table if table is not None else FakeTable()
        self.acks, self.letters = FakeAcknowledger(), FakeDeadLetterSink()
        self.restart()

    def restart(self) -> None:
        self.storer = Storer(self.table, lambda: NOW_MS, RETENTION_MS)

    def deliver(self, *bodies: str) -> list[str]:
        """Run one invocation; message ids are the positions. Return the ids of messages to retry."""
        ingest = Ingest(self.table, self.storer, self.acks, self.letters, lambda: NOW_MS, LOG)
        failed = []
        ingest.recognize(bodies)
        for at, text in enumerate(bodies):
            try:
                ingest.accept(str(at), text)
            except StoreError:
                failed.append(str(at))
        return failed + ingest.finish()

    def rows(self, gateway: str) -> Aggregates:
        found = [StoredBatch.of(i) for i in self.table.of_kind("batch") if i["pk"] == f"batches#{gateway}"]
        return Aggregates.concatenate([rows_of(one, self.storer.profiles.find) for one in found if one.has_rows])


def batch(sequence: int = 1, gateway: str = "gw-1", epoch: int = 7) -> Batch:
    return Batch(gateway, epoch, sequence, aggregates(sequence))


def test_a_batch_is_stored_with_its_receipt_and_acknowledged() -> None:
    site = Site()
    assert site.deliver(body(batch(), "urgent")) == []
    assert site.acks.sent == [("gw-1", Acknowledgement(7, 1))]
    assert "duplicates" not in site.table.of_kind("ack")[0]
    (receipt,) = site.table.of_kind("batch")
    assert (receipt["lane"], receipt["rows"], receipt["received_ms"]) == ("urgent", 12, NOW_MS)
    assert receipt["data"] == codec.encode(batch())
    assert receipt["expires_at"] == (NOW_MS + RETENTION_MS) // 1000
    assert sorted(site.rows("gw-1").mean.tolist()) == sorted(aggregates(1).mean.tolist())
    assert [item["sk"] for item in site.table.of_kind("series")] == [f"series#pump{n}.temperature" for n in range(3)]
    assert [item["sk"] for item in site.table.of_kind("gateway")] == ["gw-1"]


def test_a_repeated_batch_is_counted_and_acknowledged_and_not_stored() -> None:
    site = Site()
    site.deliver(body(batch()))
    before = {k: v for k, v in site.table.items.items() if v["kind"] in ("batch", "series")}
    site.deliver(body(batch(), received_at=NOW_MS + 5))
    assert {k: v for k, v in site.table.items.items() if v["kind"] in ("batch", "series")} == before
    assert site.acks.sent == [("gw-1", Acknowledgement(7, 1))] * 2
    (epoch,) = site.table.of_kind("ack")
    assert (epoch["batches"], epoch["rows"], epoch["duplicates"], epoch["seen_ms"]) == (1, 12, 1, NOW_MS + 5)


def test_a_repetition_is_recognized_without_a_write_to_the_batch_and_also_without_the_reads() -> None:
    site = Site()
    site.deliver(body(batch(1)), body(batch(2)))
    site.table.attempts.clear()
    site.deliver(body(batch(1)), body(batch(2)), body(batch(3)))
    written = [key for key in site.table.attempts if not key.pk.startswith("reopened")]
    assert written == [keys.batch("gw-1", 7, 3), keys.acknowledgement("gw-1", 7)]
    site.table.refuse_many = True
    assert site.deliver(body(batch(1))) == []
    (item,) = site.table.of_kind("ack")
    assert (item["batches"], item["duplicates"]) == (3, 3)


def test_one_invocation_acknowledges_each_gateway_and_epoch_once() -> None:
    site = Site()
    batches = [batch(1), batch(3), batch(2, epoch=8), batch(1, "gw-2"), batch(2)]
    site.deliver(*map(body, batches))
    assert sorted(site.acks.sent, key=repr) == sorted(
        [
            ("gw-1", Acknowledgement(7, 3)),
            ("gw-1", Acknowledgement(8, 0, ((2, 2),))),
            ("gw-2", Acknowledgement(7, 1)),
        ],
        key=repr,
    )


def test_a_different_batch_with_a_stored_name_is_rejected() -> None:
    site = Site()
    site.deliver(body(batch()))
    records = site.table.of_kind("batch")
    site.deliver(body(replace(batch(), rows=aggregates(9))))
    assert site.table.of_kind("batch") == records
    assert site.letters.kept[0][1]["reason"] == "different"


def test_an_invalid_batch_becomes_a_dead_letter_and_others_are_stored() -> None:
    site = Site()
    poisoned = body(batch(2), data="AAAA")
    assert site.deliver(body(batch(1)), poisoned, "{", body(batch(3))) == []
    assert [receipt["sk"] for receipt in site.table.of_kind("batch")] == [
        keys.batch_name(7, 1),
        keys.batch_name(7, 3),
    ]
    assert [(text, letter["reason"]) for text, letter in site.letters.kept] == [(poisoned, "codec"), ("{", "envelope")]
    assert site.letters.kept[0][1]["gateway"] == "gw-1"
    assert site.acks.sent == [("gw-1", Acknowledgement(7, 1, ((3, 3),)))]
    counted = {item["pk"]: item for item in site.table.of_kind("about")}
    assert counted["gateway#gw-1"]["rejected_codec"] == counted["gateway#"]["rejected_envelope"] == 1


def test_a_rejected_batch_is_acknowledged_once_it_is_a_dead_letter() -> None:
    site = Site()
    rows = aggregates(1)
    outside = replace_start(rows, -5)
    assert site.deliver(body(Batch("gw-1", 7, 1, outside))) == []
    assert site.letters.kept[0][1]["reason"] == "time"
    assert site.acks.sent == [("gw-1", Acknowledgement(7, 1))]
    assert site.table.of_kind("batch") == []


def replace_start(rows: Aggregates, start_ms: int) -> Aggregates:
    columns = [getattr(rows, name).copy() for name in AGGREGATE_COLUMNS]
    columns[1][0] = start_ms
    return Aggregates(rows.series, *columns)


def test_an_invalid_batch_is_retried_if_the_dead_letter_queue_fails() -> None:
    site = Site()
    site.letters.down = True
    assert site.deliver("{", body(batch())) == ["0"]
    assert site.acks.sent == [("gw-1", Acknowledgement(7, 1))]


def test_only_batches_that_cannot_be_stored_are_retried() -> None:
    site = Site()
    site.table.refuse = lambda key: key == keys.batch("gw-1", 7, 2)
    assert site.deliver(*(body(batch(n)) for n in (1, 2, 3))) == ["1"]
    assert site.acks.sent == [("gw-1", Acknowledgement(7, 1, ((3, 3),)))]
    site.table.refuse = lambda key: False
    assert site.deliver(body(batch(2))) == []
    assert site.acks.sent[-1] == ("gw-1", Acknowledgement(7, 3))
    assert len(site.rows("gw-1")) == 36


def test_a_batch_is_retried_if_received_sequences_cannot_be_saved() -> None:
    site = Site()
    site.table.refuse = lambda key: key.sk.startswith("ack#")
    assert site.deliver(body(batch(1)), body(batch(1, "gw-2"))) == ["0", "1"]
    assert site.acks.sent == []
    site.table.refuse = lambda key: False
    assert site.deliver(body(batch(1))) == []
    assert site.acks.sent == [("gw-1", Acknowledgement(7, 1))]


def test_a_failed_acknowledgement_does_not_fail_the_batch() -> None:
    site = Site()
    site.acks.down = True
    assert site.deliver(body(batch(1))) == []
    site.acks.down = False
    site.deliver(body(batch(2)))
    assert site.acks.sent == [("gw-1", Acknowledgement(7, 2))]


def test_failed_figures_do_not_fail_the_batch() -> None:
    site = Site()
    site.table.refuse = lambda key: key.sk == keys.ABOUT
    assert site.deliver(body(batch(1))) == []
    assert len(site.rows("gw-1")) == 12


def test_reports_of_anomalies_are_stored_for_alerting() -> None:
    site = Site()
    reports = (report(), report(Phase.END, 9_000), report())
    site.deliver(body(Batch("gw-1", 7, 1, Anomalies(reports)), "urgent"))
    items = site.table.of_kind("anomaly")
    assert len(items) == 3
    assert {json.loads(str(item["report"]))["phase"] for item in items} == {"onset", "end"}
    assert {item["gateway"] for item in items} == {"gw-1"}


def test_a_notice_replaces_older_ones_only() -> None:
    site = Site()
    for sequence, arrived_ms in enumerate((5_000, 9_000, 7_000), start=1):
        notice = Notice(START_MS, {"reader": {"late": arrived_ms}})
        site.deliver(body(Batch("gw-1", 7, sequence, notice), received_at=arrived_ms))
    (kept,) = site.table.of_kind("notice")
    assert (kept["received_ms"], json.loads(str(kept["counters"]))) == (9_000, {"reader": {"late": 9_000}})


def test_notices_are_accepted_after_a_clock_that_was_a_year_ahead() -> None:
    site = Site()
    for sequence, (told_ms, late) in enumerate(((START_MS + 365 * 86_400_000, 1), (START_MS, 2)), start=1):
        notice = Notice(told_ms, {"reader": {"late": late}})
        site.deliver(body(Batch("gw-1", 7, sequence, notice), received_at=NOW_MS + sequence))
    (kept,) = site.table.of_kind("notice")
    assert (kept["time_ms"], json.loads(str(kept["counters"]))) == (START_MS, {"reader": {"late": 2}})


def test_a_series_is_catalogued_again_only_if_its_unit_changes() -> None:
    site = Site()
    site.deliver(body(batch(1)))
    site.restart()
    site.deliver(body(batch(2)))
    written = [new for _, new in site.table.stream if new["kind"] == "series"]
    assert len(written) == 3
    changed = aggregates(3)
    series = (replace(changed.series[0], unit="K"), *changed.series[1:])
    site.deliver(body(Batch("gw-1", 7, 3, Aggregates(series, *(getattr(changed, n) for n in AGGREGATE_COLUMNS)))))
    assert [item["unit"] for item in site.table.of_kind("series")] == ["K", "Cel", "Cel"]
    assert len([new for _, new in site.table.stream if new["kind"] == "series"]) == 4


def test_a_gateway_is_catalogued_by_the_write_after_a_failed_one() -> None:
    site = Site()
    site.table.refuse = lambda key: key == keys.gateway("gw-1")
    assert site.deliver(body(batch(1))) == ["0"]
    site.table.refuse = lambda key: False
    assert site.deliver(body(batch(1))) == []
    assert [item["sk"] for item in site.table.of_kind("gateway")] == ["gw-1"]


def replay_invariant(table: FakeTable) -> dict[Key, Item]:
    """Return the part of the table that must not depend on the order and repetition of batches."""
    loose = {"version", "received_ms", "lane", "duplicates", "acknowledgements"}
    return {
        key: {name: value for name, value in item.items() if name not in loose}
        for key, item in table.items.items()
        if item["kind"] != "about"
    }


@pytest.mark.slow
@settings(deadline=None, max_examples=examples(25))
@given(st.data())
def test_any_order_repetition_and_crash_gives_the_same_store_and_acknowledges_all(data: st.DataObject) -> None:
    batches: list[Batch] = [batch(n) for n in range(1, 4)]
    batches.append(Batch("gw-1", 7, 4, Anomalies((report(), report(Phase.END, 9_000)))))
    batches.append(Batch("gw-1", 7, 5, Notice(5_000, {"reader": {"late": 1}})))
    batches.append(batch(1, "gw-2"))
    once = Site()
    once.deliver(*map(body, batches))

    site = Site()
    waiting = data.draw(st.permutations(batches * data.draw(st.integers(1, 3))))
    while waiting:
        size = data.draw(st.integers(1, len(waiting)))
        site.table.writes_left = data.draw(st.none() | st.integers(0, 25))
        try:
            failed = site.deliver(*map(body, waiting[:size]))
        except CrashError:
            # After a crash the queue redelivers all messages of the invocation to a new worker.
            site.restart()
            waiting = waiting[size:] + waiting[:size]
            site.table.writes_left = None
            site.deliver(*map(body, waiting))
            break
        waiting = waiting[size:] + [waiting[int(at)] for at in failed]
    site.table.writes_left = None
    assert replay_invariant(site.table) == replay_invariant(once.table)
    newest = {(gateway, ack.epoch): ack for gateway, ack in site.acks.sent}
    assert newest == {("gw-1", 7): Acknowledgement(7, 5), ("gw-2", 7): Acknowledgement(7, 1)}
    # An acknowledged batch always has its receipt, and receipts are never removed.
    receipts = {item["sk"] for item in site.table.of_kind("batch") if item["pk"] == "batches#gw-1"}
    assert receipts == {keys.batch_name(7, n) for n in range(1, 6)}


@pytest.mark.slow
@settings(deadline=None, max_examples=examples(15))
@given(st.integers(0, 30))
def test_acknowledgements_are_never_ahead_of_the_receipts(writes: int) -> None:
    site = Site()
    site.table.writes_left = writes
    try:
        site.deliver(*(body(batch(n)) for n in (1, 2, 3)))
    except CrashError:
        site.table.writes_left = None
    held = {int(str(item["sk"]).split("#")[1]) for item in site.table.of_kind("batch")}
    for _, ack in site.acks.sent:
        assert all(sequence in held for sequence in range(1, 4) if ack.covers(sequence))
    for item in site.table.of_kind("ack"):
        assert set(range(1, int(item["cumulative"]) + 1)) <= held


def test_a_batch_without_rows_is_stored_although_its_width_cannot_be_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()
    monkeypatch.setattr(site.storer, "summarize", lambda name: Summary(0, 0, -1, keys.MAX_TIME_MS + 1, ()))
    site.deliver(body(Batch("gw-1", 7, 1, aggregates(1).take(slice(0, 0)))))
    assert ([item["rows"] for item in site.table.of_kind("batch")], site.letters.kept) == ([0], [])


@pytest.mark.parametrize(
    ("first_ms", "last_ms", "width_ms", "reasons"),
    [
        (0, keys.MAX_TIME_MS, keys.MAX_TIME_MS, []),
        (0, 0, 0, []),
        (-1, 5, 10, ["time"]),
        (0, keys.MAX_TIME_MS + 1, 10, ["time"]),
        (0, 5, -1, ["time"]),
        (0, 5, keys.MAX_TIME_MS + 1, ["time"]),
    ],
)
def test_rows_whose_times_cannot_be_keys_are_rejected(
    monkeypatch: pytest.MonkeyPatch, first_ms: int, last_ms: int, width_ms: int, reasons: list[str]
) -> None:
    site = Site()
    monkeypatch.setattr(site.storer, "summarize", lambda name: Summary(1, first_ms, last_ms, width_ms, ()))
    site.deliver(body(batch()))
    assert [attributes["reason"] for _, attributes in site.letters.kept] == reasons


def test_an_anomaly_whose_time_cannot_be_a_key_is_rejected() -> None:
    site = Site()
    site.deliver(body(Batch("gw-1", 7, 1, Anomalies((replace(report(), onset_ms=-1),)))))
    assert site.letters.kept[0][1]["reason"] == "time"
    assert site.table.of_kind("anomaly") == []


def test_all_batches_fail_if_the_store_is_down(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    site.table.refuse = lambda key: True
    assert site.deliver(body(batch(1)), body(batch(2))) == ["0", "1"]
    assert site.acks.sent == []
