"""A simulated fleet and ingest: steady operation, an outage of the cloud, and reconnection of all gateways at once.

Time is simulated in steps of a second; ingest, its table writes and acknowledgements are the real code. The model:

- a gateway sends a batch a minute, keeps it until it is acknowledged, keeps at most ``WINDOW`` in flight and sends one
  again after ``RETRY_S`` seconds, twice as long each time;
- the queue, with a visibility timeout; invocations of 20 messages, at most ``CONCURRENCY`` at once, each as long as its
  CPU time at Lambda's share for 512 MB plus the latency of its requests;
- a table that throttles: 1,000 write units a second for a partition key, and for the table the documented 4,000 of a
  new on-demand table, which double when half of them are used, at most every 30 minutes. A throttled write fails the
  message; the SDK's own retries are not modelled.

The batches are small, so that an hour of 10,000 gateways takes minutes and not hours; the modelled CPU time is that of
batches of 600 rows. All sizes are scaled with the number of gateways, except the limit of a partition.
"""

from __future__ import annotations

import base64
import heapq
import json
import logging
import random
from collections import deque
from dataclasses import dataclass, field

from benchmarks.cloud_table import ThrottlingTable
from cloud_functions.core.ingest import Ingest
from cloud_functions.core.storing import Storer
from wire import codec
from wire.acknowledgement import Acknowledgement
from wire.model import Notice

WINDOW, RETRY_S, LONGEST_RETRY_S = 16, 30, 480
INVOCATION, CONCURRENCY, VISIBILITY_S = 20, 20, 180
REQUESTS_S = 0.010
"""Latency of one request of a function, of which a batch needs three."""
_LAMBDA_SHARE = 512 / 1769
_START_MS = 1_790_000_000_000


@dataclass(slots=True)
class _Gateway:
    """A gateway with its unacknowledged batches: by sequence the time of the next transmission and the last wait."""

    name: str
    made: int = 0
    unacknowledged: dict[int, tuple[float, int]] = field(default_factory=dict)
    waiting: deque[int] = field(default_factory=deque)


@dataclass(slots=True)
class _Message:
    sent_s: float
    gateway: int
    sequence: int


class _Fleet:
    """State of a simulation."""

    def __init__(self, gateways: int, cpu_ms: float) -> None:
        self.scale = gateways / 10_000
        self.gateways = [_Gateway(f"gateway-{at:05d}") for at in range(gateways)]
        self.now_s = 0.0
        self.table = ThrottlingTable(lambda: self.now_s, 4_000 * self.scale)
        self.queue: deque[_Message] = deque()
        self.busy: list[tuple[float, int, list[_Message]]] = []
        self.numbers = 0
        self.invocations_due = 0.0
        self.max_age_s = 0.0
        self.throttled = 0
        self.dead = 0
        self.rng = random.Random(1)  # noqa: S311 - a simulation
        self.invocation_s = INVOCATION * (cpu_ms / 1000 / _LAMBDA_SHARE + 3 * REQUESTS_S)
        self.workers = max(1, round(CONCURRENCY * self.scale))
        self.storer = Storer(self.table, self.now_ms, 7 * 86_400_000)
        self.log = logging.getLogger("benchmark.fleet")
        self.log.disabled = True
        self.packed = codec.pack(Notice(_START_MS, {}))

    def now_ms(self) -> int:
        return _START_MS + int(self.now_s * 1000)

    def keep(self, body: str, attributes: object) -> None:
        self.dead += 1

    def send(self, gateway: str, payload: bytes) -> None:
        ack, one = Acknowledgement.decode(payload), self.gateways[int(gateway.rsplit("-", 1)[1])]
        for sequence in [s for s in one.unacknowledged if ack.covers(s)]:
            del one.unacknowledged[sequence]

    def step(self, cloud_up: bool, producing: bool) -> None:
        """Simulate one second."""
        second = int(self.now_s)
        for at, gateway in enumerate(self.gateways):
            if producing and at % 60 == second % 60:
                gateway.made += 1
                gateway.waiting.append(gateway.made)
            if cloud_up and (gateway.waiting or gateway.unacknowledged):
                self._transmit(at, gateway)
        self._invoke()
        self.now_s += 1.0

    def _transmit(self, at: int, gateway: _Gateway) -> None:
        while gateway.waiting and len(gateway.unacknowledged) < WINDOW:
            sequence = gateway.waiting.popleft()
            gateway.unacknowledged[sequence] = (self.now_s + RETRY_S * self.rng.uniform(0.8, 1.2), RETRY_S)
            self.queue.append(_Message(self.now_s, at, sequence))
        for sequence, (due_s, wait_s) in gateway.unacknowledged.items():
            if due_s <= self.now_s:
                longer = min(2 * wait_s, LONGEST_RETRY_S)
                gateway.unacknowledged[sequence] = (self.now_s + longer * self.rng.uniform(0.8, 1.2), longer)
                self.queue.append(_Message(self.now_s, at, sequence))

    def _invoke(self) -> None:
        # Messages of failed invocations become visible again.
        while self.busy and self.busy[0][0] <= self.now_s:
            self.queue.extendleft(heapq.heappop(self.busy)[2])
        budget = self.workers * 1.0 / self.invocation_s
        self.invocations_due += budget
        while self.invocations_due >= 1 and self.queue:
            self.invocations_due -= 1
            taken = [self.queue.popleft() for _ in range(min(INVOCATION, len(self.queue)))]
            age = max(self.now_s - message.sent_s for message in taken)
            self.max_age_s = max(self.max_age_s, age)
            failed = self._run(taken)
            if failed:
                self.numbers += 1
                heapq.heappush(self.busy, (self.now_s + VISIBILITY_S, self.numbers, failed))
        self.invocations_due = min(self.invocations_due, budget + 1)

    def _run(self, taken: list[_Message]) -> list[_Message]:
        ingest = Ingest(self.table, self.storer, self, self, self.now_ms, self.log)
        failed = set()
        for at, message in enumerate(taken):
            gateway = self.gateways[message.gateway].name
            data = codec.seal(gateway, 7, message.sequence, self.packed)
            fields = {
                "data": base64.b64encode(data).decode(),
                "topic": f"strandline/v1/{gateway}/bulk",
                "client": gateway,
                "received_at": _START_MS + int(message.sent_s * 1000),
            }
            try:
                ingest.accept(str(at), json.dumps(fields))
            except ThrottlingTable.errors:
                failed.add(at)
        failed.update(int(at) for at in ingest.finish())
        self.throttled += len(failed)
        return [taken[at] for at in failed]


def simulate(gateways: int, minutes: int, cpu_ms: float) -> dict[str, float]:
    """Simulate ``minutes`` of steady work, as long an outage, and the time until all batches are stored."""
    fleet = _Fleet(gateways, cpu_ms)
    for _ in range(minutes * 60):
        fleet.step(cloud_up=True, producing=True)
    steady_age_s, fleet.max_age_s = fleet.max_age_s, 0.0
    for _ in range(minutes * 60):
        fleet.step(cloud_up=False, producing=True)
    returned_s, backlog = fleet.now_s, gateways * minutes
    recovered_s = None
    for second in range(6 * minutes * 60):
        fleet.step(cloud_up=True, producing=second < minutes * 60)
        waiting = sum(len(one.waiting) + len(one.unacknowledged) for one in fleet.gateways) if second % 10 == 0 else 1
        if recovered_s is None and second % 10 == 0 and waiting < gateways / 10:
            recovered_s = fleet.now_s - returned_s
        if not waiting and second >= minutes * 60:
            break
    made = sum(one.made for one in fleet.gateways)
    stored = fleet.table.count("batches#")
    twice = fleet.table.written("batches#") - stored
    acknowledged = made - sum(len(one.waiting) + len(one.unacknowledged) for one in fleet.gateways)
    return {
        "fleet_gateways": gateways,
        "fleet_minutes": minutes,
        "fleet_batches": made,
        "fleet_lost": made - stored,
        "fleet_doubled": twice,
        "fleet_unacknowledged": made - acknowledged,
        "fleet_dead_letters": fleet.dead,
        "fleet_throttled_messages": fleet.throttled,
        "fleet_backlog_batches": backlog,
        "fleet_recovery_s": -1.0 if recovered_s is None else recovered_s,
        "fleet_max_queue_age_s": max(steady_age_s, fleet.max_age_s),
        "fleet_steady_queue_age_s": steady_age_s,
    }
