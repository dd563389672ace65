"""The aggregator loses no acknowledged reading and counts none twice, despite kills and repetitions."""

from __future__ import annotations

import errno
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_components.aggregator.component import RESEND_SECONDS, Aggregator
from edge_components.aggregator.config import Config
from edge_components.common import aggregates_message, batch_message
from edge_components.common.delivery import RESEND_REQUEST
from edge_components.common.errors import BusError
from edge_components.common.journal import Journal
from edge_components.common.journal.storage import FileStorage
from edge_components.common.lifecycle import Runtime
from tests.examples import examples
from tests.fakes import FakeBus, FakeClock, fake_runtime
from wire import codec, topics
from wire.acknowledgement import Acknowledgement
from wire.model import Aggregates, Batch, Notice, Readings, Series

READER = 31
START = 1_700_000_000_000


def readings(times: list[int], values: list[float], name: str = "pump-1.temperature") -> Readings:
    n = len(times)
    series = (Series(name, "Cel", 1.0),)
    return Readings(
        series, np.zeros(n, np.int64), np.array(times, np.int64), np.array(values, float), np.zeros(n, np.uint8)
    )


class Rig:
    """Aggregator on fakes that can be killed and restarted on the same journal."""

    def __init__(self, work: Path, **values: Any) -> None:
        defaults = {
            "window_ms": 1000,
            "idle_timeout_ms": 2000,
            "max_age_ms": 10,
            "commit_ms": 10,
            "retry_s": 2,
            "silence_ms": 2000,
        }
        self.work, self.config, self.boots = work, Config(**(defaults | values)), 0
        self.clock = FakeClock(START)
        self.runtime: Runtime
        self.bus: FakeBus
        self.published: list[tuple[str, bytes]] = []
        self.boot()

    def boot(self) -> None:
        self.boots += 1
        self.runtime, self.bus, _ = fake_runtime(self.work, seed=self.boots)
        self.bus.published = self.published
        object.__setattr__(self.runtime, "clock", self.clock)
        self.journal, recovered = Journal.open(self.work / "journal")
        self.aggregator = Aggregator(self.config, self.runtime, self.journal, recovered)
        self.aggregator.start()

    def kill(self) -> None:
        """Simulate a power cut: the component is not closed, only its file handles."""
        self.journal.close()

    def offer(
        self,
        sequence: int,
        rows: Readings,
        epoch: int = READER,
        encode: Callable[[Batch], bytes] = batch_message.encode,
    ) -> None:
        """Deliver a batch, by default as the reader of this version sends it."""
        self.bus.deliver(topics.READINGS, encode(Batch("gw-test", epoch, sequence, rows)))

    def tick(self, seconds: float = 0.05) -> None:
        self.clock.advance(seconds)
        self.aggregator.tick()

    def run_out(self, seconds: float = 12.0) -> None:
        for _ in range(round(seconds / 0.5)):
            self.tick(0.5)

    def acks(self, epoch: int = READER) -> list[Acknowledgement]:
        payloads = [payload for payload in self.bus.on(topics.READINGS_ACK) if payload != RESEND_REQUEST]
        acks = [Acknowledgement.decode(payload) for payload in payloads]
        return [ack for ack in acks if ack.epoch == epoch]

    def batches(self) -> dict[tuple[int, int], Aggregates]:
        """Return the distinct batches sent to the forwarder."""
        held: dict[tuple[int, int], Aggregates] = {}
        for payload in self.bus.on(topics.AGGREGATES):
            batch = aggregates_message.decode(payload)
            assert isinstance(batch.rows, Aggregates)
            held.setdefault((batch.epoch, batch.sequence), batch.rows)
        return held

    def counts(self) -> dict[int, int]:
        """Return the readings of the highest revision by window start; fails for duplicate rows."""
        found: dict[tuple[int, int], int] = {}
        for rows in self.batches().values():
            columns = (rows.start_ms.tolist(), rows.revision.tolist(), rows.count.tolist())
            for start, revision, count in zip(*columns, strict=True):
                assert count == 0 or (start, revision) not in found, f"revision {revision} of {start} comes twice"
                if count:
                    found[start, revision] = count
        return {start: count for (start, _), count in sorted(found.items())}

    def forwarder_holds_all(self) -> None:
        for epoch, sequence in self.batches():
            ack = Acknowledgement(epoch, 0, ((sequence, sequence),))
            self.bus.deliver(topics.SCORED_ACK, ack.encode())


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.kill()


def test_a_window_is_emitted_once_with_its_five_numbers(rig: Rig) -> None:
    rig.offer(1, readings([START, START + 200, START + 400], [1.0, 2.0, 6.0]))
    rig.offer(2, readings([START + 2500], [9.0]))
    rig.tick()
    rig.tick()
    (rows,) = rig.batches().values()
    assert (rows.start_ms[0], rows.width_ms[0], rows.count[0]) == (START, 1000, 3)
    assert (rows.mean[0], rows.min[0], rows.max[0]) == (3.0, 1.0, 6.0)
    assert rows.std[0] == pytest.approx(np.std([1, 2, 6]), rel=0.025)
    assert np.isnan(rows.score[0])
    assert rows.series == (Series("pump-1.temperature", "Cel", 1.0),)


def test_readings_are_acknowledged_after_the_commit_and_not_before(tmp_path: Path) -> None:
    rig = Rig(tmp_path, commit_ms=1000)
    rig.offer(1, readings([START], [1.0]))
    rig.tick(0.9)
    assert rig.acks() == []
    rig.tick(0.2)
    assert rig.acks() == [Acknowledgement(READER, 1)]
    rig.kill()


def test_a_flush_request_commits_and_acknowledges_at_once(tmp_path: Path) -> None:
    rig = Rig(tmp_path, commit_ms=60_000)
    rig.offer(1, readings([START], [1.0]))
    rig.bus.deliver(topics.READINGS, b"")
    rig.tick(0.0)
    assert rig.acks() == [Acknowledgement(READER, 1)]
    rig.offer(2, readings([START + 100], [1.0]))
    rig.tick()
    assert len(rig.acks()) == 1
    rig.kill()


def test_a_flush_request_without_anything_new_repeats_the_acknowledgement(rig: Rig) -> None:
    rig.offer(1, readings([START], [1.0]))
    rig.tick()
    rig.bus.deliver(topics.READINGS, b"")
    rig.tick(0.0)
    assert rig.acks() == [Acknowledgement(READER, 1)] * 2


def test_enough_bytes_are_committed_before_their_time(tmp_path: Path) -> None:
    rig = Rig(tmp_path, commit_ms=60_000)
    chance = np.random.default_rng(1)
    for sequence in range(1, 30):
        rig.offer(sequence, readings([START + 300 * sequence + n for n in range(300)], list(chance.normal(size=300))))
        rig.tick(0.0)
    assert 20 < rig.acks()[0].cumulative < 29
    rig.kill()


def test_aggregates_are_sent_within_a_second_regardless_of_waiting_readings(tmp_path: Path) -> None:
    rig = Rig(tmp_path, commit_ms=60_000, max_age_ms=500)
    rig.offer(1, readings([START, START + 2500], [1.0, 9.0]))
    begin, wait = rig.clock.monotonic(), rig.aggregator.tick()
    while not rig.batches():
        rig.clock.advance(max(wait, 0.01))
        wait = rig.aggregator.tick()
    assert rig.clock.monotonic() - begin < 1.0
    rig.kill()


def test_an_idle_aggregator_is_called_once_a_second(rig: Rig) -> None:
    rig.offer(1, readings([START], [1.0]))
    rig.run_out()
    rig.forwarder_holds_all()
    rig.tick()
    assert rig.aggregator.tick() == 1.0


def test_a_repeated_batch_is_acknowledged_again_and_counted_once(rig: Rig) -> None:
    for _ in range(3):
        rig.offer(1, readings([START, START + 100], [1.0, 2.0]))
        rig.tick()
    rig.run_out()
    assert rig.counts() == {START: 2}
    assert rig.runtime.counters["batches_repeated"] == 2


def test_a_repeated_reading_in_another_batch_is_counted_once(rig: Rig) -> None:
    rig.offer(1, readings([START, START + 100], [1.0, 2.0]))
    rig.offer(2, readings([START + 100, START + 200], [2.0, 3.0]))
    rig.kill()
    rig.boot()
    rig.offer(1, readings([START, START + 100], [1.0, 2.0]))
    rig.tick()
    rig.kill()
    rig.boot()
    rig.offer(1, readings([START + 100, START, START + 300], [2.0, 1.0, 4.0]), epoch=READER + 1)
    rig.run_out()
    assert rig.counts() == {START: 3}
    assert rig.runtime.counters["rejected_duplicate"] == 2


def test_after_a_power_cut_open_windows_and_the_outbox_are_still_there(rig: Rig) -> None:
    rig.offer(1, readings([START, START + 100], [1.0, 2.0]))
    rig.offer(2, readings([START + 3000], [7.0]))
    rig.tick()
    before = list(rig.batches())
    rig.kill()
    rig.boot()
    rig.run_out()
    assert rig.counts() == {START: 2, START + 3000: 1}
    assert set(before) < set(rig.batches()), "the same epoch continues"
    again = [aggregates_message.decode(payload).sequence for payload in rig.bus.on(topics.AGGREGATES)]
    assert again.count(1) > 1, "what the forwarder does not hold is sent again"


def test_batches_that_the_forwarder_has_stored_are_not_sent_again_after_a_restart(rig: Rig) -> None:
    rig.offer(1, readings([START, START + 2500], [1.0, 2.0]))
    rig.tick()
    rig.tick()
    rig.forwarder_holds_all()
    rig.offer(2, readings([START + 2600], [1.0]))
    rig.tick()
    rig.kill()
    sent = len(rig.bus.on(topics.AGGREGATES))
    rig.boot()
    rig.tick()
    assert len(rig.bus.on(topics.AGGREGATES)) == sent


def test_a_stop_in_good_order_keeps_open_windows_for_the_next_start(rig: Rig) -> None:
    rig.offer(1, readings([START], [1.0]))
    rig.tick()
    rig.aggregator.close()
    rig.boot()
    rig.offer(2, readings([START + 500], [2.0]))
    rig.run_out()
    assert rig.counts() == {START: 2}


def test_an_aggregator_without_new_readings_writes_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.offer(1, readings([START, START + 2500], [1.0, 2.0]))
    rig.run_out(60.0)  # until the silence of the series is reported
    rig.forwarder_holds_all()
    rig.run_out()
    written: list[str] = []
    monkeypatch.setattr(FileStorage, "write", lambda _storage, name, _offset, _data: written.append(name))
    rig.run_out(60.0)
    monkeypatch.undo()
    assert written == []
    rig.offer(2, readings([START + 9000], [3.0]))
    rig.run_out()
    assert rig.counts() == {START: 1, START + 2000: 1, START + 9000: 1}


def test_another_width_ends_the_open_windows_after_a_restart(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.offer(1, readings([START], [1.0]))
    rig.tick()
    rig.kill()
    rig.config = Config(window_ms=5000, idle_timeout_ms=2000, max_age_ms=10, commit_ms=10)
    rig.boot()
    rig.run_out()
    (rows,) = rig.batches().values()
    assert (rows.width_ms[0], rows.count[0]) == (1000, 1)
    rig.kill()


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def test_a_record_damaged_in_both_images_is_a_loss_that_is_counted_and_sends_nothing_twice(rig: Rig) -> None:
    rig.offer(1, readings([START, START + 100], [1.0, 2.0]))
    rig.tick()
    rig.offer(2, readings([START + 200, START + 3000, START + 6000], [3.0, 4.0, 5.0]))
    rig.tick()
    rig.tick()
    sent = set(rig.batches())
    assert sent
    rig.kill()
    for name in ("segment-0", "segment-0-replica"):
        flip(rig.work / "journal" / name, 60)
    rig.boot()
    assert rig.runtime.counters["dropped_readings"] == 1, "four are in batches whose bytes are in the journal"
    assert rig.runtime.counters["journal_lost"] == 1
    rig.offer(3, readings([START + 9000, START + 20_000], [1.0, 2.0]))
    rig.run_out()
    assert rig.counts()[START + 9000] == 1
    fresh = set(rig.batches()) - sent
    assert min(fresh) > max(sent), "numbers that may have been sent are not given again"
    rig.kill()
    rig.boot()
    assert rig.runtime.counters["dropped_readings"] == 0, "a loss is counted once"


def test_a_snapshot_damaged_in_both_images_after_a_stop_is_counted(rig: Rig) -> None:
    rig.offer(1, readings([START, START + 100], [1.0, 2.0]))
    rig.tick()
    rig.aggregator.close()
    rig.boot()
    rig.offer(2, readings([START + 200], [3.0]))
    rig.tick()
    rig.aggregator.close()
    for path in (rig.work / "journal").iterdir():
        flip(path, 60)
    rig.boot()
    assert rig.runtime.counters["dropped_readings"] == 3
    rig.offer(3, readings([START + 9000, START + 20_000], [1.0, 2.0]))
    rig.tick(60.0)  # what came before it is not known any more
    rig.run_out()
    assert rig.counts() == {START + 9000: 1, START + 20_000: 1}


@pytest.mark.parametrize("image", ["segment-0", "segment-0-replica"])
def test_an_image_that_is_rubbish_costs_nothing(rig: Rig, image: str) -> None:
    rig.offer(1, readings([START, START + 3000], [1.0, 2.0]))
    rig.tick()
    rig.kill()
    path = rig.work / "journal" / image
    path.write_bytes(b"rubbish" * 1000)
    rig.boot()
    rig.offer(1, readings([START, START + 3000], [1.0, 2.0]))
    rig.run_out()
    assert rig.runtime.counters["journal_lost"] == 0
    assert rig.runtime.counters["batches_repeated"] == 1
    assert rig.counts() == {START: 1, START + 3000: 1}
    assert len({epoch for epoch, _ in rig.batches()}) == 1


def test_a_failing_disk_stops_acknowledgements_without_losses(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FileStorage, "write", refuse)
    rig.offer(1, readings([START, START + 3000], [1.0, 2.0]))
    rig.tick()
    rig.tick(2.0)
    assert rig.acks() == []
    assert rig.bus.on(topics.AGGREGATES) == []
    assert rig.runtime.counters["journal_failed"] >= 2
    monkeypatch.undo()
    rig.tick(2.0)
    assert rig.acks() == [Acknowledgement(READER, 1)]
    rig.run_out()
    rig.kill()
    rig.boot()
    assert rig.counts() == {START: 1, START + 3000: 1}


@pytest.mark.slow
def test_a_full_outbox_rejects_readings_until_the_forwarder_acknowledges(tmp_path: Path) -> None:
    rig = Rig(tmp_path, outbox_bytes=100_000)
    rng = np.random.default_rng(1)
    sequence = 0
    while not rig.runtime.counters["batches_deferred"]:
        sequence += 1
        times = [START + 1000 * (40 * sequence + n) for n in range(40)]
        rig.offer(sequence, readings(times, list(np.round(rng.normal(0, 1e6, 40)))))
        rig.tick()
        assert sequence < 5000
    refused = sequence
    assert not rig.acks()[-1].covers(refused)
    rig.forwarder_holds_all()
    rig.offer(refused, readings([START + 1000 * (40 * refused + n) for n in range(40)], [1.0] * 40))
    rig.tick()
    assert rig.acks()[-1].covers(refused)
    rig.kill()


@pytest.mark.parametrize("payload", [b"rubbish", b"SL\x01" + b"\0" * 60])
def test_bytes_that_are_no_batch_are_counted_and_disturb_nothing(rig: Rig, payload: bytes) -> None:
    rig.bus.deliver(topics.READINGS, payload)
    rig.offer(1, readings([START], [1.0]))
    rig.tick()
    assert rig.runtime.counters["batches_unreadable"] == 1
    assert rig.acks() == [Acknowledgement(READER, 1)]


def test_a_batch_of_another_gateway_or_kind_is_counted_and_not_taken(rig: Rig) -> None:
    other = Batch("gw-other", READER, 1, readings([START], [1.0]))
    rig.bus.deliver(topics.READINGS, codec.encode(other, 7_000))
    rig.bus.deliver(topics.READINGS, codec.encode(Batch("gw-test", READER, 2, Notice(1, {})), 7_000))
    rig.run_out()
    assert rig.runtime.counters["batches_foreign"] == 1
    assert rig.runtime.counters["batches_unexpected"] == 1
    assert rig.counts() == {}


def test_a_batch_of_an_unexpected_kind_is_acknowledged_and_later_ones_are_aggregated(rig: Rig) -> None:
    none, value = np.zeros(1, np.int64), np.ones(1)
    series = (Series("pump-1.temperature"),)
    rows = Aggregates(series, none, none, none + 1000, none + 5, value, value, value, value, value)
    wrong = batch_message.encode(Batch("gw-test", READER, 1, rows))
    rig.bus.deliver(topics.READINGS, wrong)
    rig.bus.deliver(topics.READINGS, wrong)
    rig.offer(2, readings([START], [1.0]))
    rig.run_out()
    assert rig.acks()[-1] == Acknowledgement(READER, 2)
    assert rig.runtime.counters["batches_unreadable"] == 0
    assert rig.runtime.counters["batches_unexpected"] == 2
    assert sum(rig.counts().values()) == 1


def test_a_bus_that_fails_is_counted_and_tried_again(rig: Rig) -> None:
    rig.bus.failure = BusError("busy")
    rig.offer(1, readings([START, START + 3000], [1.0, 1.0]))
    rig.tick()
    assert rig.runtime.counters["publish_failed"] >= 1
    rig.bus.failure = None
    rig.run_out()
    assert rig.counts() == {START: 1, START + 3000: 1}


def test_a_batch_that_was_lost_on_the_way_makes_none_late(rig: Rig) -> None:
    rig.offer(2, readings([START + 5000], [1.0]))
    rig.tick(2.0)
    rig.offer(1, readings([START], [1.0]))
    rig.run_out()
    assert rig.counts() == {START: 1, START + 5000: 1}
    assert rig.runtime.counters["rejected_late"] == 0


def test_a_missing_batch_delays_others_for_a_limited_time_only(rig: Rig) -> None:
    rig.offer(2, readings([START + 5000], [1.0]))
    rig.tick(1.0)
    assert rig.acks() == []
    rig.tick(60.0)
    rig.run_out()
    assert rig.counts() == {START + 5000: 1}
    assert rig.acks()[-1] == Acknowledgement(READER, 0, ((2, 2),))


STEPS = st.lists(
    st.tuples(st.sampled_from(["tick", "tick", "kill", "tick and kill", "hold"]), st.integers(0, 2**15)),
    min_size=3,
    max_size=12,
)


@settings(max_examples=examples(25), deadline=None)
@given(STEPS)
def test_killed_at_any_moment_every_reading_is_in_exactly_one_window(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    rig = Rig(tmp_path_factory.mktemp("aggregator"))
    truth: dict[int, int] = defaultdict(int)
    unheld: dict[int, Readings] = {}
    for sequence, (action, lost) in enumerate(steps, 1):
        times = [START + 300 * (4 * sequence + n) for n in range(4)]
        for time in times:
            truth[time // 1000 * 1000] += 1
        unheld[sequence] = readings(times, [float(n) for n in range(4)])
        for again, rows in unheld.items():
            if not lost >> again & 1:
                rig.offer(again, rows)
        _act(rig, action)
        unheld = {n: rows for n, rows in unheld.items() if not any(ack.covers(n) for ack in rig.acks())}
    for again, rows in unheld.items():
        rig.offer(again, rows)
    rig.run_out()
    late, found = rig.runtime.counters["rejected_late"], rig.counts()
    rig.kill()
    assert late == 0
    assert found == truth


def _act(rig: Rig, action: str) -> None:
    if action != "kill":
        rig.tick(0.3)
    if action == "hold":
        rig.forwarder_holds_all()
    if "kill" in action:
        rig.kill()
        rig.boot()


def test_rows_that_could_not_be_encoded_are_sent_once_later(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(1)
    times = [START - 600_000 + 1000 * at for at in range(600)]
    rig.offer(1, readings(times, list(chance.normal(size=600))))
    whole, calls = aggregates_message.encode, 0

    def short(*arguments: Any, **named: Any) -> bytes:
        nonlocal calls
        calls += 1
        if calls == 2:  # after one batch of several was made
            raise MemoryError
        return whole(*arguments, **named)

    monkeypatch.setattr(aggregates_message, "encode", short)
    with pytest.raises(MemoryError):
        rig.run_out()
    monkeypatch.undo()
    rig.run_out()
    assert sum(rig.counts().values()) == 600


def test_a_repetition_for_a_closed_window_is_a_duplicate_also_after_a_restart(rig: Rig) -> None:
    rig.offer(1, readings([START, START + 3000, START + 6000], [1.0, 2.0, 3.0]))
    rig.run_out(2.0)
    rig.offer(2, readings([START, START + 1], [1.0, 9.0]))
    rig.run_out(1.0)
    assert (rig.runtime.counters["rejected_duplicate"], rig.runtime.counters["readings_backlog"]) == (1, 1)
    rig.kill()
    rig.boot()
    rig.offer(3, readings([START, START + 1, START + 2], [1.0, 9.0, 9.0]))
    rig.run_out(1.0)
    assert (rig.runtime.counters["rejected_duplicate"], rig.runtime.counters["readings_backlog"]) == (2, 1)
    assert rig.runtime.counters["rejected_late"] == 0


def test_missing_acknowledgements_renew_their_subscription(rig: Rig) -> None:
    rig.bus.subscriptions[topics.SCORED_ACK][0].lost = True
    rig.offer(1, readings([0, 500, 2_500], [1.0, 2.0, 3.0]))
    rig.run_out(30.0)
    assert rig.bus.subscriptions[topics.SCORED_ACK][0].renewals


def test_the_subscription_to_readings_is_renewed_when_it_is_silent(rig: Rig) -> None:
    assert rig.bus.subscriptions[topics.READINGS][0].expects_traffic


def test_lost_batches_are_requested_when_the_subscription_opens_and_while_one_is_missing(rig: Rig) -> None:
    def requests() -> int:
        return rig.bus.on(topics.READINGS_ACK).count(RESEND_REQUEST)

    assert requests() == 1
    rig.bus.subscriptions[topics.READINGS][0].renew("silence")
    assert requests() == 2
    rig.offer(2, readings([START + 5000], [1.0]))
    rig.tick(RESEND_SECONDS)
    assert requests() == 3
    rig.tick(0.5)
    assert requests() == 3
    rig.tick(RESEND_SECONDS)
    assert requests() == 4
    rig.offer(1, readings([START], [1.0]))
    rig.tick(RESEND_SECONDS)
    assert requests() == 4


def test_no_window_closes_by_the_idle_clock_while_a_batch_is_missing(rig: Rig) -> None:
    rig.offer(1, readings([START], [1.0]))
    rig.tick()
    rig.offer(3, readings([START + 9000], [1.0], "other.temperature"))
    for _ in range(20):
        rig.tick(1.0)
    rig.offer(2, readings([START + 100], [2.0]))
    rig.run_out()
    assert rig.counts()[START] == 2
    assert rig.runtime.counters["rejected_late"] == 0


def test_an_idle_aggregator_schedules_the_next_call_for_when_something_is_due(rig: Rig) -> None:
    rig.tick()
    assert rig.aggregator.tick() >= 1.0
