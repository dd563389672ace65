"""The forwarder acknowledges batches that are on its disk, and frees batches that the cloud has stored."""

from __future__ import annotations

import errno
import functools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_components.common import batch_message
from edge_components.common.errors import BusError
from edge_components.common.lifecycle import Runtime
from edge_components.common.version import VERSION
from edge_components.forwarder.component import Forwarder
from edge_components.forwarder.config import Config
from edge_components.forwarder.spool import journal
from edge_components.forwarder.spool.recovery import open_spool
from edge_components.forwarder.spool.spool import Spool
from tests.fakes import FakeBus, FakeClock, fake_runtime
from wire import codec, topics
from wire.acknowledgement import Acknowledgement
from wire.model import Aggregates, Anomalies, Anomaly, Batch, Notice, Phase, Readings, Rows, Series
from wire.topics import Lane

SENDER, EPOCH = 99, 5
BULK = topics.ingest("gw-test", Lane.BULK)
URGENT = topics.ingest("gw-test", Lane.URGENT)


def aggregates(n: int, start: int = 0) -> Aggregates:
    series = (Series("pump-1.temperature", "Cel", 0.01), Series("pump-1.pressure", "bar", 0.001))
    index = np.arange(n) % 2
    times = 1_700_000_000_000 + 1000 * (start + np.arange(n))
    value = np.round(20 + np.sin(np.arange(n)), 2)
    full = np.full(n, 1000), np.full(n, 5)
    return Aggregates(series, index, times, *full, value, value - 1, value + 1, np.full(n, 0.5), np.full(n, 0.25))


ANOMALY = Anomaly("pump-1.temperature", Phase.ONSET, 1_700_000_000_000, 1_700_000_001_000, 2.5, "spike")


decoded = functools.cache(codec.decode)


class Rig:
    """Forwarder on fakes that can be killed and restarted on the same spool."""

    def __init__(self, work: Path, **values: Any) -> None:
        self.work, self.config = (
            work,
            Config(
                **{"commit_ms": 0, "batch_max_age_s": 10.0, "notice_interval_s": 0.0, "profile_interval_s": 0.0}
                | values
            ),
        )
        self.disk_free = 10**12
        self.opened = 0
        self.runtime: Runtime
        self.bus: FakeBus
        self.clock: FakeClock
        self.spool: Spool
        self.boot()

    def boot(self) -> None:
        self.runtime, self.bus, self.clock = fake_runtime(self.work)
        self.forwarder = Forwarder(self.config, self.runtime, self.open, lambda: self.disk_free)
        self.forwarder.start()

    def open(self) -> Spool:
        self.opened += 1
        path = self.work / "spool.sqlite3"
        self.spool = open_spool(path, EPOCH + self.opened - 1, self.config.spool_max_bytes, self.opened)
        return self.spool

    def kill(self) -> None:
        """Simulate a power cut: the component is not closed, only its file handles."""
        self.spool.abandon()

    def offer(self, sequence: int, rows: Rows) -> None:
        self.bus.deliver(topics.SCORED, codec.encode(Batch("gw-test", SENDER, sequence, rows), 7_000))

    def tick(self, seconds: float = 0.0) -> None:
        self.clock.advance(seconds)
        self.forwarder.tick()

    def acks(self) -> list[Acknowledgement]:
        return [Acknowledgement.decode(payload) for payload in self.bus.on(topics.SCORED_ACK)]

    def sent(self, topic: str) -> list[Batch]:
        return [decoded(payload) for where, payload in self.bus.sent if where == topic]

    def waiting(self) -> int:
        return sum(self.spool.counts().values())

    def cloud_acknowledges(self, cumulative: int) -> None:
        payload = Acknowledgement(EPOCH, cumulative).encode()
        self.bus.deliver_from_core(topics.ack("gw-test"), payload)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.kill()


def test_rows_are_acknowledged_only_after_the_commit(rig: Rig) -> None:
    rig.offer(1, aggregates(4))
    assert rig.acks() == []
    rig.tick()
    assert rig.acks() == [Acknowledgement(SENDER, 1)]
    assert rig.spool.holds(SENDER, 1)


def test_bulk_waits_until_it_is_old_and_then_goes_as_one_batch(rig: Rig) -> None:
    rig.offer(1, aggregates(4))
    rig.offer(2, aggregates(4, start=4))
    rig.tick(1.0)
    assert rig.sent(BULK) == []
    rig.tick(10.0)
    (batch,) = rig.sent(BULK)
    assert (batch.gateway, batch.epoch, batch.sequence) == ("gw-test", EPOCH, 1)
    assert len(batch.rows) == 8
    assert list(rig.spool.pending()) == []


def test_an_anomaly_goes_at_once_in_the_urgent_lane(rig: Rig) -> None:
    rig.offer(1, aggregates(4))
    rig.offer(2, Anomalies((ANOMALY,)))
    rig.tick()
    (batch,) = rig.sent(URGENT)
    assert batch.rows == Anomalies((ANOMALY,))
    assert rig.sent(BULK) == []


def test_rows_of_late_readings_go_after_live_rows_in_batches_of_their_own(rig: Rig) -> None:
    rows = aggregates(4)
    rig.offer(1, replace(rows, revision=np.ones(4, np.int64)))
    rig.offer(2, aggregates(4, start=4))
    rig.tick()
    rig.tick(10.0)
    sent = [batch.rows for batch in rig.sent(BULK)]
    assert [rows.revision.tolist() for rows in sent if isinstance(rows, Aggregates)] == [[0] * 4, [1] * 4]


def test_a_repeated_batch_is_acknowledged_again_and_stored_once(rig: Rig) -> None:
    rig.offer(1, aggregates(4))
    rig.offer(1, aggregates(4))
    rig.tick()
    rig.offer(1, aggregates(4))
    rig.tick(20.0)
    assert rig.acks() == [Acknowledgement(SENDER, 1)] * 2
    assert [len(batch.rows) for batch in rig.sent(BULK)] == [4]
    assert rig.runtime.counters["batches_repeated"] == 2


def test_after_a_power_cut_pending_rows_are_kept_and_repetitions_are_recognised(rig: Rig) -> None:
    rig.offer(1, aggregates(4))
    rig.tick()
    rig.kill()
    rig.boot()
    rig.offer(1, aggregates(4))
    rig.tick(20.0)
    assert [len(batch.rows) for batch in rig.sent(BULK)] == [4]


def test_rows_that_were_not_committed_are_taken_when_their_sender_repeats_them(rig: Rig) -> None:
    rig.offer(1, aggregates(4))
    rig.kill()
    rig.boot()
    rig.offer(1, aggregates(4))
    rig.tick()
    rig.tick(20.0)
    assert [len(batch.rows) for batch in rig.sent(BULK)] == [4]


def test_the_cloud_s_acknowledgement_frees_the_spool(rig: Rig) -> None:
    rig.offer(1, aggregates(4))
    rig.tick()
    rig.tick(20.0)
    assert rig.waiting() == 1
    rig.cloud_acknowledges(1)
    assert rig.spool.size == 0
    rig.tick(1_000.0)
    assert len(rig.sent(BULK)) == 1


def test_without_the_cloud_s_acknowledgement_the_same_bytes_go_again(rig: Rig) -> None:
    rig.offer(1, Anomalies((ANOMALY,)))
    rig.tick()
    rig.tick(6.0)
    assert len(rig.bus.sent) == 2
    assert rig.bus.sent[0] == rig.bus.sent[1]


@pytest.mark.slow
def test_many_rows_fill_batches_of_at_most_5000_bytes_without_loss(rig: Rig) -> None:
    rng = np.random.default_rng(1)
    offered = []
    for sequence in range(1, 26):
        rows = aggregates(80, start=80 * sequence)
        noisy = np.round(20 + rng.normal(size=80), 2)
        rows = Aggregates(
            rows.series, rows.series_index, rows.start_ms, rows.width_ms, rows.count, noisy, noisy, noisy,
            rows.std, rng.random(80),
        )  # fmt: skip
        offered.append(rows.start_ms)
        rig.offer(sequence, rows)
        rig.tick(0.1)
    rig.tick()
    rig.tick(20.0)
    payloads = [payload for topic, payload in rig.bus.sent if topic == BULK]
    assert max(len(payload) for payload in payloads) <= 5_000
    stored = [batch.rows for batch in {batch.sequence: batch for batch in rig.sent(BULK)}.values()]
    got = np.sort(np.concatenate([rows.start_ms for rows in stored if isinstance(rows, Aggregates)]))
    assert np.array_equal(got, np.sort(np.concatenate(offered)))


@pytest.mark.slow
def test_killed_between_any_two_ticks_every_row_goes_out_exactly_once_per_number(tmp_path: Path) -> None:
    rig = Rig(tmp_path, batch_max_bytes=600, batch_max_age_s=3.0)
    delivered: dict[int, Batch] = {}
    for sequence in range(1, 41):
        rig.offer(sequence, aggregates(10, start=10 * sequence))
        rig.tick(1.0)
        delivered |= {batch.sequence: batch for batch in rig.sent(BULK)}
        if sequence % 3 == 0:
            rig.kill()
            rig.boot()
    rig.tick(5.0)
    rig.tick(5.0)
    delivered |= {batch.sequence: batch for batch in rig.sent(BULK)}
    rig.kill()
    starts = [b.rows.start_ms for b in delivered.values() if isinstance(b.rows, Aggregates)]
    got = np.sort(np.concatenate(starts))
    assert len(got) == len(set(got.tolist())), "a row is in two batches"
    held = 400 - len(got)
    assert held == 0, f"{held} rows are in no batch"


def test_batches_wait_to_be_committed_together_and_anomalies_do_not(tmp_path: Path) -> None:
    rig = Rig(tmp_path, commit_ms=2000)
    rig.offer(1, aggregates(4))
    rig.tick()
    rig.offer(2, aggregates(4, start=4))
    assert rig.forwarder.tick() == pytest.approx(2.0)
    commits = rig.spool.version.commits
    assert rig.acks() == []
    rig.tick(2.0)
    assert rig.acks() == [Acknowledgement(SENDER, 2)]
    assert rig.spool.version.commits == commits + 1
    rig.offer(3, aggregates(4, start=8))
    rig.offer(4, Anomalies((ANOMALY,)))
    rig.tick()
    assert rig.acks()[-1] == Acknowledgement(SENDER, 4)
    rig.kill()


def test_a_sender_that_would_be_blocked_is_answered_at_once(tmp_path: Path) -> None:
    rig = Rig(tmp_path, commit_ms=2000)
    for sequence in range(1, 17):
        assert rig.acks() == []
        rig.offer(sequence, aggregates(4, start=4 * sequence))
        rig.tick()
    assert rig.acks() == [Acknowledgement(SENDER, 16)]
    rig.kill()


def test_batches_that_wait_are_committed_at_a_stop(tmp_path: Path) -> None:
    rig = Rig(tmp_path, commit_ms=2000)
    rig.offer(1, aggregates(4))
    rig.forwarder.close()
    assert rig.acks() == [Acknowledgement(SENDER, 1)]
    rig.boot()
    assert rig.spool.holds(SENDER, 1)
    rig.kill()


def test_a_batch_that_fills_up_at_its_commit_is_one_commit_with_its_number(tmp_path: Path) -> None:
    rig = Rig(tmp_path, batch_max_age_s=0.1)
    rig.offer(1, Anomalies((ANOMALY,)))
    before = rig.spool.version.commits
    rig.tick()
    assert rig.spool.version.commits == before + 1
    assert len(rig.sent(URGENT)) == 1
    rig.kill()


def test_a_spool_that_cannot_be_opened_yet_is_opened_later_and_senders_keep_their_batches(tmp_path: Path) -> None:
    work = tmp_path / "not there yet"
    rig = Rig(work)
    rig.offer(1, aggregates(4))
    rig.cloud_acknowledges(1)
    rig.tick()
    assert rig.acks() == []
    assert rig.runtime.counters["spool_failed"] == 1
    work.mkdir()
    rig.tick(2.0)
    rig.offer(1, aggregates(4))
    rig.tick()
    assert rig.acks() == [Acknowledgement(SENDER, 1)]
    rig.kill()


def test_batches_of_a_rejected_round_are_sent_later(rig: Rig) -> None:
    for sequence in range(1, 5):
        rig.offer(sequence, Anomalies((ANOMALY,)))
        rig.bus.failure = BusError("offline")
        rig.tick(20.0)
    rig.bus.failure = None
    for _ in range(5):
        rig.tick(20.0)
    assert {batch.sequence for batch in rig.sent(URGENT)} == {1, 2, 3, 4}


def test_an_idle_forwarder_is_called_rarely_and_reads_no_table(tmp_path: Path) -> None:
    rig = Rig(tmp_path, notice_interval_s=300.0)
    rig.tick()
    rig.tick(10.0)
    assert rig.forwarder.tick() > 60.0
    rig.kill()


def test_nothing_is_stored_or_acknowledged_while_the_disk_is_nearly_full(rig: Rig) -> None:
    rig.disk_free = rig.config.disk_keep_free_bytes
    rig.offer(1, aggregates(4))
    rig.tick()
    assert rig.acks() == [Acknowledgement(SENDER, 0)]
    assert rig.runtime.counters["batches_deferred"] == 1
    rig.disk_free = 10**12
    rig.offer(1, aggregates(4))
    rig.tick()
    assert rig.acks()[-1] == Acknowledgement(SENDER, 1)


def test_a_disk_that_others_have_filled_costs_the_spool_nothing(rig: Rig) -> None:
    rig.offer(1, aggregates(4))
    rig.tick()
    rig.tick(20.0)
    rig.disk_free = 0
    rig.offer(2, aggregates(4, start=4))
    rig.tick()
    assert rig.waiting() == 1
    assert rig.spool.losses() == {}


@pytest.mark.slow
def test_a_full_spool_merges_the_oldest_rows_and_reports_it_to_the_cloud(tmp_path: Path) -> None:
    rig = Rig(tmp_path, spool_max_bytes=30_000, in_flight=2, batch_max_age_s=0.1)
    rng = np.random.default_rng(3)
    offered = 0
    for sequence in range(1, 49):
        rows = aggregates(250, start=250 * sequence)
        noisy = np.round(20 + rng.normal(size=250), 2)
        columns = (rows.start_ms, rows.width_ms, rows.count, noisy, noisy - 1, noisy + 1, rng.random(250), rows.score)
        rig.offer(sequence, Aggregates(rows.series, rows.series_index, *columns))
        offered += int(rows.count.sum())
        rig.tick(1.0)
    losses = rig.spool.losses()
    assert losses["rows_merged"] > 0
    assert "dropped_rows_bulk" not in losses
    assert "dropped_rows_backfill" not in losses
    assert rig.acks()[-1] == Acknowledgement(SENDER, 48)
    stored: dict[int, Batch] = {}
    for _ in range(2):  # again later: losses are reported at an interval
        while rig.waiting():
            rig.tick(5.0)
            for topic in (BULK, URGENT):
                stored |= {batch.sequence: batch for batch in rig.sent(topic)}
            rig.cloud_acknowledges(max(stored))
        rig.tick(120.0)
    assert sorted(stored) == list(range(1, len(stored) + 1)), "the numbers have a gap"
    assert sum(int(b.rows.count.sum()) for b in stored.values() if isinstance(b.rows, Aggregates)) == offered
    told = [b.rows.counters["Spool"]["rows_merged"] for b in stored.values() if isinstance(b.rows, Notice)]
    assert max(told) == rig.spool.losses()["rows_merged"]  # the newest goes out before older ones of the backlog
    rig.kill()


@pytest.mark.slow
def test_a_full_spool_that_may_not_merge_drops_the_oldest_bulk_and_never_an_anomaly(tmp_path: Path) -> None:
    rig = Rig(tmp_path, spool_max_bytes=30_000, in_flight=2, batch_max_age_s=0.1, merge_max_window_s=0)
    rng = np.random.default_rng(3)
    for sequence in range(1, 91):
        rows = aggregates(100, start=100 * sequence)
        noisy = np.round(20 + rng.normal(size=100), 2)
        columns = (rows.start_ms, rows.width_ms, rows.count, noisy, noisy - 1, noisy + 1, rng.random(100), rows.score)
        rig.offer(2 * sequence, Aggregates(rows.series, rows.series_index, *columns))
        rig.offer(2 * sequence + 1, Anomalies((ANOMALY,)))
        rig.tick(1.0)
    losses = rig.spool.losses()
    assert losses["dropped_rows_backfill"] > 0
    assert "dropped_rows_urgent" not in losses
    assert rig.spool.counts()[Lane.URGENT] == 90
    rig.kill()


def test_a_failing_disk_is_retried_without_losses(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.offer(1, aggregates(4))
    rig.tick()

    def refuse(_file: int, _data: bytes, _at: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(journal, "_write", refuse)
    rig.offer(2, aggregates(4, start=4))
    rig.tick()
    assert rig.runtime.counters["spool_failed"] == 1
    assert rig.acks() == [Acknowledgement(SENDER, 1)]
    rig.tick(20.0)
    assert rig.sent(BULK) == []
    monkeypatch.undo()
    rig.tick(2.0)
    rig.offer(2, aggregates(4, start=4))
    rig.tick()
    rig.tick(20.0)
    assert rig.acks()[-1] == Acknowledgement(SENDER, 2)
    assert [len(batch.rows) for batch in rig.sent(BULK)] == [8]


def test_a_spool_that_was_opened_while_its_disk_was_read_only_is_opened_again(rig: Rig) -> None:
    rig.spool._db.execute("PRAGMA query_only=1")  # fails as a connection does that was made on a read-only disk
    rig.offer(1, aggregates(4))
    rig.tick()
    assert rig.runtime.counters["spool_failed"] == 1
    assert rig.acks() == []
    rig.tick(2.0)
    rig.offer(1, aggregates(4))
    rig.tick()
    assert rig.acks()[-1] == Acknowledgement(SENDER, 1)
    assert rig.runtime.counters["spool_failed"] == 1


@pytest.mark.slow
def test_a_backlog_goes_after_live_rows_and_at_a_bounded_rate(tmp_path: Path) -> None:
    rig = Rig(tmp_path, in_flight=6, batch_max_age_s=0.1, backfill_per_s=1.0)
    rig.bus.failure = None
    for sequence in range(1, 41):
        rig.offer(sequence, aggregates(4, start=4 * sequence))
        rig.tick()
        rig.tick(0.2)
    assert rig.spool.counts()[Lane.BACKFILL] > 20
    first = {batch.sequence: batch for batch in rig.sent(BULK)}
    rig.cloud_acknowledges(max(first))
    rig.tick(1.0)
    new = [batch for batch in rig.sent(BULK) if batch.sequence not in first]
    live = [int(batch.rows.start_ms[0]) for batch in new if isinstance(batch.rows, Aggregates)]
    assert live[0] > 1_700_000_000_000 + 1000 * 4 * 30, "the newest rows do not go first"
    rig.kill()


@pytest.mark.parametrize("payload", [b"", b"SL", b"rubbish", b"SL\x09" + b"\0" * 40])
def test_bytes_that_are_no_batch_are_counted_and_disturb_nothing(rig: Rig, payload: bytes) -> None:
    rig.bus.deliver(topics.SCORED, payload)
    rig.offer(1, aggregates(4))
    rig.tick()
    assert rig.runtime.counters["batches_unreadable"] == 1
    assert rig.acks() == [Acknowledgement(SENDER, 1)]


NO_TIME = np.zeros(3, np.int64)
READINGS = Readings((Series("pump-1.temperature"),), NO_TIME, NO_TIME, np.ones(3), np.zeros(3, np.uint8))


@pytest.mark.parametrize("rows", [READINGS, Notice(1, {})])
def test_a_batch_of_an_unexpected_kind_is_quarantined_and_acknowledged(rig: Rig, rows: Rows) -> None:
    wrong = batch_message.encode(Batch("gw-test", SENDER, 1, rows))
    rig.bus.deliver(topics.SCORED, wrong)
    rig.bus.deliver(topics.SCORED, wrong)
    rig.offer(2, aggregates(4))
    rig.tick()
    rig.tick(10.0)
    assert rig.acks()[-1] == Acknowledgement(SENDER, 2)
    assert [len(batch.rows) for batch in rig.sent(BULK) if not isinstance(batch.rows, Notice)] == [4]
    assert rig.runtime.counters["batches_unexpected"] == 2
    assert rig.spool.losses() == {"dropped_rows_unexpected": len(rows)}
    rig.kill()
    rig.boot()
    rig.bus.deliver(topics.SCORED, wrong)
    rig.tick()
    assert rig.acks()[-1] == Acknowledgement(SENDER, 2)
    (entry,) = rig.spool._db.execute("SELECT reason, body FROM quarantine")
    assert entry == (f"rows of an unexpected kind: {type(rows).__name__}", wrong)


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b'{"v":1,"epoch":"zz","cumulative":1,"ranges":[]}'])
def test_bytes_that_are_no_acknowledgement_are_counted_and_free_nothing(rig: Rig, payload: bytes) -> None:
    rig.offer(1, Anomalies((ANOMALY,)))
    rig.tick()
    rig.bus.deliver_from_core(topics.ack("gw-test"), payload)
    assert rig.runtime.counters["acknowledgements_unreadable"] == 1
    assert rig.waiting() == 1


def test_counters_go_to_the_cloud_as_a_notice(tmp_path: Path) -> None:
    rig = Rig(tmp_path, notice_interval_s=30.0)
    body = {"component": "Aggregator", "version": "1.2.3", "counters": {"readings_late": 3}}
    rig.bus.deliver(topics.HEALTH, json.dumps(body).encode())
    rig.bus.deliver(topics.HEALTH, b"[1]")
    rig.tick(31.0)
    (batch,) = rig.sent(BULK)
    assert isinstance(batch.rows, Notice)
    assert batch.rows.counters["Aggregator"] == {"readings_late": 3}
    assert batch.rows.counters["Forwarder"]["health_unreadable"] == 1
    assert batch.rows.versions == {"Aggregator": "1.2.3", "Forwarder": VERSION}
    rig.kill()


def test_a_notice_names_the_size_of_the_spool_and_components_that_stopped_reporting(tmp_path: Path) -> None:
    rig = Rig(tmp_path, notice_interval_s=90.0)
    for component, after in (("Aggregator", 40.0), ("SensorReader", 51.0)):
        rig.bus.deliver(topics.HEALTH, json.dumps({"component": component, "counters": {}}).encode())
        rig.tick(after)
    (batch,) = rig.sent(BULK)
    assert isinstance(batch.rows, Notice)
    status = dict(batch.rows.counters["Status"])
    assert status.pop("spool_bytes") >= 0
    assert status == {"spool_batches": 0, "stale_Aggregator": 91}
    rig.kill()


def test_a_new_configuration_loses_no_row_that_waits(rig: Rig) -> None:
    rig.offer(1, aggregates(4))
    rig.tick()
    rig.forwarder.reconfigure(Config(commit_ms=0, batch_max_age_s=1.0, notice_interval_s=0.0))
    rig.tick(2.0)
    assert [len(batch.rows) for batch in rig.sent(BULK)] == [4]


def test_a_spool_that_is_damaged_while_in_use_is_recovered_without_a_restart(rig: Rig) -> None:
    rig.offer(1, aggregates(4))
    rig.tick()
    rig.spool.checkpoint()
    path = rig.work / "spool.sqlite3"
    data = bytearray(path.read_bytes())
    # The roots of everything but the first table: SQLite finds this out when it looks for a row.
    data[3 * 4096 :] = b"\xff" * (len(data) - 3 * 4096)
    path.write_bytes(data)
    rig.spool._db.execute("PRAGMA cache_size=0")
    rig.offer(2, aggregates(4, start=4))
    rig.tick()
    rig.tick(2.0)
    assert rig.opened == 2
    rig.offer(3, aggregates(4, start=8))
    rig.tick()
    assert rig.acks()[-1].covers(3)
    assert rig.spool.losses()["spools_damaged"] == 1
