"""A simulated fleet and ingest: steady operation, an outage of the cloud, and reconnection of all gateways at once.

Time is simulated in steps of a second; ingest, its table writes and acknowledgements are the real code. The model:

- a gateway makes a batch a minute and a notice every five minutes, keeps them until they are acknowledged, has at most
  ``IN_FLIGHT`` unacknowledged ones, and sends one again as the forwarder does (its code computes the waits). After the
  outage it sends as many at once as it may, which is more than the forwarder's limit for a backlog;
- IoT Core accepts ``PUBLISHES`` a second, its default limit for an account; what exceeds it is lost;
- the bulk queue with its visibility timeout and number of receives; invocations as the template allows them, each as
  long as the measured CPU time at Lambda's share for the memory of the function, plus the latency of its requests, one
  after the other;
- a table that throttles: 1,000 write units a second for a partition key, and for the table the documented 4,000 of a
  new on-demand table, which double 30 minutes after half of them were used. A throttled write fails the
  message; the SDK's own retries are not modelled.

The batches are small, so that three hours of 10,000 gateways take minutes; the modelled CPU time and write units are
those of batches of 600 rows. The limits of account, table and concurrency are scaled with the number of gateways, those
of a partition are not.
"""

from __future__ import annotations

import gc
import heapq
import logging
import math
import random
import sys
from collections import defaultdict, deque
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

from benchmarks import cloud_batches
from benchmarks.cloud_table import ThrottlingTable
from cloud_functions.core.arrival import write_envelope
from cloud_functions.core.errors import StoreError
from cloud_functions.core.ingest import Ingest
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.storing import Storer
from cloud_functions.costs.fleet_cost import INGEST_LIMITS, REQUEST_S, lambda_share
from edge_components.common.handover import RetryPolicy
from edge_components.forwarder.acknowledgement_time import AcknowledgementTimes
from wire import codec
from wire.acknowledgement import Acknowledgement
from wire.model import Notice
from wire.summary import Name, Summary
from wire.topics import Lane

IN_FLIGHT = 28
"""The forwarder's 32, of which four are reserved for urgent batches."""
POLICY = RetryPolicy(IN_FLIGHT, 5.0, 300.0)
PUBLISHES = 20_000
EPOCH = 7
MINUTE_S, NOTICE_S = 60, 300
SETTLED_S = 300
"""Time for which the fleet continues after it has recovered."""


@dataclass(slots=True)
class _Gateway:
    """A gateway with its batches: those that were never sent, and the number of transmissions of the others."""

    name: str
    times: AcknowledgementTimes
    made: int = 1
    waiting: deque[tuple[int, bytes]] = field(default_factory=deque)
    flights: dict[int, int] = field(default_factory=dict)


class IngestCpu(NamedTuple):
    """CPU time of ingest for a batch, in milliseconds of a whole processor: one that is new, and a repetition."""

    new_ms: float
    repeated_ms: float

    def seconds(self, new: int, repeated: int) -> float:
        """Return the time that a function takes for batches at its share of a processor."""
        return (new * self.new_ms + repeated * self.repeated_ms) / 1000 / lambda_share(INGEST_LIMITS.memory_mb)


class _Message(NamedTuple):
    sent_s: float
    gateway: int
    sequence: int
    packed: bytes
    receives: int


class _Storer(Storer):
    """A storer that reads the head of the same packed rows, which all gateways send in a minute, only once."""

    heads: dict[bytes, Summary]

    def summarize(self, name: Name) -> Summary:
        head = self.heads.get(name.packed)
        if head is None:
            head = self.heads[name.packed] = super().summarize(name)
        return head


class _Fleet:
    """State of a simulation."""

    def __init__(self, gateways: int, cpu: IngestCpu) -> None:
        scale = gateways / 10_000
        self.rng = random.Random(1)  # noqa: S311 - a simulation
        self.gateways = [
            _Gateway(f"gateway-{at:05d}", AcknowledgementTimes(POLICY, self.rng)) for at in range(gateways)
        ]
        self.now_s = 0.0
        self.table = ThrottlingTable(lambda: self.now_s, math.inf)
        self.queue: deque[_Message] = deque()
        self.hidden: list[tuple[float, int, list[_Message]]] = []
        self.numbers = count()
        self.timers: dict[int, list[tuple[int, int, bytes, int]]] = defaultdict(list)
        self.ready: set[int] = set()
        self.publishes, self.publishes_left = PUBLISHES * scale, 0.0
        self.cpu, self.workers, self.free_s = cpu, INGEST_LIMITS.concurrency * scale, 0.0
        self.max_age_s = 0.0
        self.received = self.refused = self.failed = self.dead = self.acknowledged = 0
        self.storer = _Storer(self.table, self.now_ms, 7 * 86_400_000)
        self.storer.heads = {}
        self.log = logging.getLogger("benchmark.fleet")
        self.log.disabled = True
        self._send_profiles()
        self.table.limit(4_000 * scale)

    def now_ms(self) -> int:
        return cloud_batches.START_MS + int(self.now_s * 1000)

    def keep(self, body: str, attributes: object) -> None:
        self.dead += 1

    def send(self, gateway: str, payload: bytes) -> None:
        self.acknowledged += 1
        ack, at = Acknowledgement.decode(payload), int(gateway.rsplit("-", 1)[1])
        one = self.gateways[at]
        freed = [sequence for sequence in one.flights if ack.covers(sequence)]
        one.times.acknowledged(freed, self.now_s)
        for sequence in freed:
            del one.flights[sequence]
        if one.waiting:
            self.ready.add(at)

    @property
    def unacknowledged(self) -> int:
        return sum(len(one.waiting) + len(one.flights) for one in self.gateways)

    def step(self, *, cloud_up: bool, producing: bool) -> None:
        """Simulate one second."""
        second = int(self.now_s)
        if producing:
            self._make(second)
        self.publishes_left = self.publishes
        if cloud_up:
            for at in sorted(self.ready, key=lambda at: (at - second * 37) % len(self.gateways)):
                one = self.gateways[at]
                while one.waiting and len(one.flights) < IN_FLIGHT:
                    sequence, packed = one.waiting.popleft()
                    self._transmit(at, sequence, packed, 1)
            self.ready.clear()
        for at, sequence, packed, attempts in self.timers.pop(second, ()):
            if self.gateways[at].flights.get(sequence) == attempts:
                self._transmit(at, sequence, packed, attempts + 1, reached=cloud_up)
        self._invoke()
        self.now_s += 1.0
        if second % 600 == 599:
            waiting = f"{len(self.queue)} messages wait, {self.unacknowledged} batches are not acknowledged"
            print(f"simulated {self.now_s / 60:.0f} min: {waiting}", file=sys.stderr, flush=True)

    def _make(self, second: int) -> None:
        minute = second // MINUTE_S
        notice = codec.pack(Notice(self.now_ms(), {}))
        for step, packed in ((MINUTE_S, cloud_batches.small(minute)), (NOTICE_S, notice)):
            for at in range(second % step, len(self.gateways), step):
                one = self.gateways[at]
                one.made += 1
                one.waiting.append((one.made, packed))
                self.ready.add(at)

    def _transmit(self, at: int, sequence: int, packed: bytes, attempts: int, *, reached: bool = True) -> None:
        one = self.gateways[at]
        one.flights[sequence] = attempts
        one.times.sent(sequence, Lane.BULK, self.now_s, first=attempts == 1)
        wait_s = max(POLICY.delay(attempts, self.rng), one.times.min_wait_s(Lane.BULK, attempts))
        self.timers[int(self.now_s + wait_s) + 1].append((at, sequence, packed, attempts))
        if reached and self.publishes_left >= 1:
            self.publishes_left -= 1
            self.queue.append(_Message(self.now_s, at, sequence, packed, 0))
        elif reached:
            self.refused += 1

    def _invoke(self) -> None:
        while self.hidden and self.hidden[0][0] <= self.now_s:
            self.queue.extendleft(heapq.heappop(self.hidden)[2])
        # The time of all workers in this second; an invocation that takes longer than is left takes from the next.
        self.free_s = min(self.free_s, 0.0) + self.workers
        while self.free_s > 0 and self.queue:
            taken = [self.queue.popleft() for _ in range(min(INGEST_LIMITS.batch_size, len(self.queue)))]
            self.max_age_s = max(self.max_age_s, *(self.now_s - message.sent_s for message in taken))
            again = []
            for message in self._run(taken):
                if message.receives + 1 < INGEST_LIMITS.receives:
                    again.append(message._replace(receives=message.receives + 1))
                else:
                    self.dead += 1
            if again:
                heapq.heappush(self.hidden, (self.now_s + INGEST_LIMITS.visibility_s, next(self.numbers), again))

    def _run(self, taken: list[_Message]) -> list[_Message]:
        metrics, failed = Metrics(), set()
        ingest = Ingest(self.table, self.storer, self, self, self.now_ms, self.log, metrics=metrics)
        requests = self.table.requests + self.acknowledged
        bodies = [self._body(message) for message in taken]
        ingest.recognize(bodies)
        for at, body in enumerate(bodies):
            try:
                ingest.accept(str(at), body)
            except StoreError:
                failed.add(at)
        failed.update(int(at) for at in ingest.finish())
        repeated = metrics.counts["duplicates"]
        self.received += len(taken)
        self.failed += len(failed)
        self.free_s -= self.cpu.seconds(len(taken) - repeated, repeated)
        self.free_s -= (self.table.requests + self.acknowledged - requests) * REQUEST_S
        return [taken[at] for at in failed]

    def _body(self, message: _Message) -> str:
        gateway = self.gateways[message.gateway].name
        data = codec.seal(gateway, EPOCH, message.sequence, message.packed)
        sent_ms = cloud_batches.START_MS + int(message.sent_s * 1000)
        return write_envelope(data, gateway, Lane.BULK, sent_ms, client=gateway)

    def _send_profiles(self) -> None:
        for one in self.gateways:
            ingest = Ingest(self.table, self.storer, self, self, self.now_ms, self.log)
            data = codec.encode_profile(one.name, EPOCH, 1, cloud_batches.small_profile())
            ingest.accept("0", cloud_batches.body(data, one.name, self.now_ms()))
            ingest.finish()


def simulate(gateways: int, minutes: int, cpu: IngestCpu) -> dict[str, float]:
    """Simulate ``minutes`` of steady work, as long an outage, the recovery, and five minutes more.

    The recovery ends when no batch waits for longer than others
    do in the steady time; it is -1 if that does not happen in four times the outage.
    """
    enabled = gc.isenabled()
    gc.disable()  # millions of live objects without cycles
    try:
        return _simulate(_Fleet(gateways, cpu), minutes)
    finally:
        if enabled:
            gc.enable()


def _simulate(fleet: _Fleet, minutes: int) -> dict[str, float]:
    for _ in range(minutes * 60):
        fleet.step(cloud_up=True, producing=True)
    steady_age_s, fleet.max_age_s = fleet.max_age_s, 0.0
    for _ in range(minutes * 60):
        fleet.step(cloud_up=False, producing=True)
    returned_s, backlog, received = fleet.now_s, fleet.unacknowledged, fleet.received
    recovered_s = -1.0
    while recovered_s < 0 and fleet.now_s < returned_s + 4 * minutes * 60:
        fleet.step(cloud_up=True, producing=True)
        if int(fleet.now_s) % 10 == 0 and fleet.unacknowledged < len(fleet.gateways) / 10:
            recovered_s = fleet.now_s - returned_s
    made_in_recovery = (fleet.now_s - returned_s) * len(fleet.gateways) * (1 / MINUTE_S + 1 / NOTICE_S)
    amplification = (fleet.received - received) / (backlog + made_in_recovery)
    for _ in range(SETTLED_S):
        fleet.step(cloud_up=True, producing=True)
    while fleet.unacknowledged and fleet.now_s < returned_s + 8 * minutes * 60:
        fleet.step(cloud_up=True, producing=False)
    made = sum(one.made for one in fleet.gateways)
    stored = fleet.table.count("batches#")
    return {
        "fleet_gateways": len(fleet.gateways),
        "fleet_minutes": minutes,
        "fleet_batches": made,
        "fleet_lost": made - stored,
        # A batch that was written twice, or was added twice to the totals of its gateway.
        "fleet_doubled": max(fleet.table.written["batches"], fleet.table.total("batches") + len(fleet.gateways))
        - stored,
        "fleet_unacknowledged": fleet.unacknowledged,
        "fleet_dead_letters": fleet.dead,
        "fleet_failed_messages": fleet.failed,
        "fleet_throttled_writes": fleet.table.throttled,
        "fleet_most_write_units": fleet.table.most_units,
        "fleet_refused_publishes": fleet.refused,
        "fleet_backlog_batches": backlog,
        "fleet_recovery_s": recovered_s,
        "fleet_recovery_messages_per_batch": amplification,
        "fleet_max_queue_age_s": max(steady_age_s, fleet.max_age_s),
        "fleet_steady_queue_age_s": steady_age_s,
    }
