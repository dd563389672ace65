"""Chaos of ingest and compaction together, for two days of simulated time: nothing is lost and nothing is doubled."""

from __future__ import annotations

import contextlib
import random

import pytest

from cloud_functions.core.compaction import LEASE_MS, RESERVED_MS, Compactor
from cloud_functions.core.compaction_plan import DAY_AFTER_MS, DAY_MS, Planner
from cloud_functions.core.errors import StoreError
from cloud_functions.core.hours import GRACE_MS
from cloud_functions.core.ingest import Ingest
from cloud_functions.core.storing import Storer
from tests.unit.cloud.fakes import CrashError
from tests.unit.cloud.faults import Fault, Faults
from tests.unit.cloud.test_compaction import HOUR, LOG, Cloud
from wire.acknowledgement import Acknowledgement

pytestmark = pytest.mark.usefixtures("decoded_once")
GATEWAYS = ("gw-1", "gw-2", "gw-3")
STEP_MS = 600_000
FAULT_RATE = 0.03
"""Probability of a fault at each call of a port."""
END_MS = HOUR // DAY_MS * DAY_MS + DAY_MS


class Chaos:
    """Gateways that send until they are acknowledged, a queue, ingest and compaction, all of whose ports fail."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.cloud = Cloud(shards=2)
        self.faults = Faults()
        self.unacknowledged: dict[str, dict[int, str]] = {name: {} for name in GATEWAYS}
        self.made = dict.fromkeys(GATEWAYS, 0)
        self.queue: list[str] = []
        self.counts = dict.fromkeys(Fault, 0)

    def fault(self, _: int) -> Fault | None:
        if self.rng.random() >= FAULT_RATE:
            return None
        fault = self.rng.choice(list(Fault))
        self.counts[fault] += 1
        return fault

    def send(self, gateway: str, payload: bytes) -> None:
        ack = Acknowledgement.decode(payload)
        waiting = self.unacknowledged[gateway]
        for sequence in [sequence for sequence in waiting if ack.covers(sequence)]:
            del waiting[sequence]

    def produce(self) -> None:
        """Let each gateway make a batch of the last minutes, of hours ago, or a revision, and send all it keeps."""
        for gateway, waiting in self.unacknowledged.items():
            now_ms = self.cloud.now_ms
            start_ms = now_ms - self.rng.choice([60_000, 60_000, 60_000, 9_000_000, 40_000_000])
            self.made[gateway] += 1
            text = self.cloud.make(
                gateway, max(start_ms, HOUR), 2, revision=self.cloud.sequence, sequence=self.made[gateway]
            )
            waiting[self.made[gateway]] = text
            self.queue += [one for one in waiting.values() if self.rng.random() < 0.7]
        self.rng.shuffle(self.queue)

    def ingest(self) -> None:
        """Run one invocation; messages of a killed one, and those that fail, stay in the queue."""
        taken, self.queue = self.queue[:20], self.queue[20:]
        table, letters = self.faults.wrap(self.cloud.table), self.faults.wrap(self.cloud.letters)
        now_ms = lambda: self.cloud.now_ms  # noqa: E731
        ingest = Ingest(table, Storer(table, now_ms, 7 * DAY_MS), self.faults.wrap(self), letters, now_ms, LOG)
        failed = set(range(len(taken)))
        try:
            ingest.recognize(taken)
            for at, text in enumerate(taken):
                with contextlib.suppress(StoreError):
                    ingest.accept(str(at), text)
                    failed.discard(at)
            failed |= {int(at) for at in ingest.finish()}
        except CrashError:
            failed = set(range(len(taken)))
        self.queue += [taken[at] for at in failed]

    def keep(self, body: str, attributes: object) -> None:
        raise AssertionError("no batch is to become a dead letter")

    def compact(self) -> None:
        """Plan, and run the tasks in any order, some twice; functions are killed or have no time left."""
        table, archive = self.faults.wrap(self.cloud.table), self.faults.wrap(self.cloud.archive)
        letters = self.faults.wrap(self.cloud.letters)
        now_ms = lambda: self.cloud.now_ms  # noqa: E731
        left_ms = lambda: self.rng.choice([RESERVED_MS - 1, LEASE_MS])  # noqa: E731
        try:
            tasks = Planner(table, now_ms, 2).plan()
        except (CrashError, StoreError):
            return
        self.rng.shuffle(tasks)
        for task in tasks[:6] + tasks[:1]:
            worker = Compactor(table, archive, lambda *_: None, letters, now_ms, 90 * DAY_MS, lambda: "w", left_ms)
            with contextlib.suppress(CrashError, StoreError):
                worker.run(task)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_or_doubled_and_batches_roll_ups_and_archive_agree(seed: int) -> None:
    chaos = Chaos(seed)
    cloud = chaos.cloud
    chaos.faults.choose = chaos.fault
    while cloud.now_ms < END_MS:
        cloud.now_ms += STEP_MS
        chaos.produce()
        while chaos.queue and chaos.rng.random() < 0.8:
            chaos.ingest()
        chaos.compact()
        cloud.archived()  # asserts that a reader sees no row twice
    chaos.faults.stop()
    while any(chaos.unacknowledged.values()):
        chaos.queue += [text for waiting in chaos.unacknowledged.values() for text in waiting.values()]
        while chaos.queue:
            chaos.ingest()
    assert min(chaos.counts.values()) > 20
    stored = cloud.table.of_kind("batch")
    assert len(stored) == cloud.sequence
    assert sum(int(item["batches"]) for item in cloud.table.of_kind("ack")) == cloud.sequence
    assert sum(int(item["rows"]) for item in cloud.table.of_kind("ack")) == 4 * cloud.sequence
    cloud.now_ms = END_MS + DAY_AFTER_MS + GRACE_MS + LEASE_MS
    while cloud.plan():
        cloud.now_ms += LEASE_MS
        cloud.compact()
    cloud.agree(END_MS)
    assert cloud.letters.kept == []
    assert all(file.hour is None and not file.staging for file in cloud.archive.files)
