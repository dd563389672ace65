"""Cost of the aggregator's core: processor time, bytes written, and the time of a replay, by number of series.

One process, no bus: encoded batches of readings are given to the component on a clock that runs as fast as it can, on a
journal in ``--folder`` (put it on the disk in question). Prints a table, or one JSON object with ``--json``: for each
workload ``cpu_us_per_reading``, ``written_bytes_per_reading`` (of /proc/self/io: 4,096 for each page that was dirtied),
``commits``, ``replay_s``, ``peak_mb``.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np

from edge_components.aggregator.component import Aggregator
from edge_components.aggregator.config import Config
from edge_components.common import aggregates_message, readings_message
from edge_components.common.health import Counters
from edge_components.common.journal import Journal
from edge_components.common.lifecycle import Runtime
from edge_components.common.limited_log import RateLimitedLog
from edge_components.common.loop import Loop
from edge_components.common.ports import Bus, Handler, Subscription
from wire import topics
from wire.acknowledgement import Acknowledgement
from wire.model import Batch, Readings, Series

START_MS = 1_750_000_000_000
GATEWAY = "benchmark"
COLUMNS = ("name", "cpu_us_per_reading", "written_bytes_per_reading", "written_mb_per_day", "replay_s", "peak_mb")


@dataclass(frozen=True, slots=True)
class Workload:
    """``series`` that together report ``rate`` readings a second, handed over in batches of at least ``batch_ms``.

    ``flush_after`` readings the sensor reader asks for a commit, as a broker with that in-flight window makes it do.
    """

    name: str
    series: int
    rate: int
    seconds: int
    batch_ms: int = 1_000
    flush_after: int = 0


WORKLOADS = (
    Workload("24 series at 1/s, window of 200", 24, 24, 1_800, 1_000, 200),
    Workload("24 series at 1/s, window of 20", 24, 24, 1_800, 1_000, 20),
    Workload("2,000/s, 200 series", 200, 2_000, 300),
    Workload("15,000/s, 200 series", 200, 15_000, 60),
    Workload("15,000/s, 10 series", 10, 15_000, 60),
    Workload("15,000/s, 10,000 series", 10_000, 15_000, 60),
    Workload("2,000/s, 10,000 series", 10_000, 2_000, 300),
    Workload("15,000/s, 16,384 series", 16_384, 15_000, 60),
)


class SteppedClock:
    """A clock that the benchmark sets."""

    def __init__(self) -> None:
        self.ms = 0

    def wall_ms(self) -> int:
        """Return milliseconds since the epoch."""
        return START_MS + self.ms

    def monotonic(self) -> float:
        """Return seconds."""
        return self.ms / 1000


class _Open:
    active = True

    def renew(self, reason: str) -> None:
        """Do nothing: this bus loses no subscription."""


class AnsweringBus:
    """A bus whose forwarder acknowledges every batch of aggregates at once."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}
        self.acknowledged = 0

    def publish(self, topic: str, payload: bytes) -> None:
        """Acknowledge aggregates, and count acknowledgements of readings."""
        if topic == topics.AGGREGATES:
            batch = aggregates_message.decode(payload)
            self.handlers[topics.SCORED_ACK](topic, Acknowledgement(batch.epoch, batch.sequence).encode())
        elif topic == topics.READINGS_ACK:
            self.acknowledged = Acknowledgement.decode(payload).cumulative

    def subscribe(self, topic: str, handler: Handler, **_options: object) -> Subscription:
        """Keep the handler."""
        self.handlers[topic] = handler
        return _Open()


def payloads(workload: Workload) -> Iterator[tuple[int, int, bytes]]:
    """Yield (arrival in milliseconds, readings, message): values that wander, intervals that jitter by 2 ms."""
    chance = np.random.default_rng(1)
    series = tuple(Series(f"device-{n // 10:04d}.channel-{n % 10}", "Cel", 0.1) for n in range(workload.series))
    level = chance.normal(20.0, 5.0, workload.series)
    interval_ms = 1000 * workload.series / workload.rate
    due = chance.uniform(0, interval_ms, workload.series)
    sequence = 0
    for begin in range(0, workload.seconds * 1000, workload.batch_ms):
        end = begin + workload.batch_ms
        count = np.maximum(0, np.ceil((end - due) / interval_ms)).astype(np.int64)
        index = np.repeat(np.arange(workload.series), count)
        within = np.arange(len(index)) - np.repeat(np.cumsum(count) - count, count)
        time_ms = due[index] + within * interval_ms + chance.normal(0, 2.0, len(index))
        value = np.round(level[index] + chance.normal(0, 0.2, len(index)), 1)
        due += count * interval_ms
        level += chance.normal(0, 0.05, workload.series)
        order = np.argsort(time_ms, kind="stable")
        for part in np.array_split(order, max(1, -(-len(order) // 1_800))):
            if not len(part):
                continue
            used, own = np.unique(index[part], return_inverse=True)
            rows = Readings(
                tuple(series[n] for n in used),
                own.astype(np.int64),
                START_MS + time_ms[part].astype(np.int64),
                value[part].astype(np.float64),
                np.zeros(len(part), np.uint8),
            )
            sequence += 1
            yield end, len(part), readings_message.encode(Batch(GATEWAY, 7, sequence, rows), 100_000)


def open_aggregator(folder: Path, clock: SteppedClock, bus: AnsweringBus) -> Aggregator:
    """Return the component on a journal in the folder."""
    log = logging.getLogger("benchmark")
    log.setLevel(logging.ERROR)  # jitter makes one reading in a hundred thousand repeat another
    counters = Counters()
    limited = RateLimitedLog(counters, log, clock)
    loop = Loop(log, limited, clock)
    runtime = Runtime(GATEWAY, cast(Bus, bus), clock, counters, log, limited, loop, folder, random.Random(1))  # noqa: S311
    journal, recovered = Journal.open(folder / "journal")
    aggregator = Aggregator(Config(), runtime, journal, recovered)
    aggregator.start()
    return aggregator


def written_bytes() -> int:
    """Return the bytes that this process has caused to be written to the disk."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["write_bytes"])


def measure(workload: Workload, folder: Path) -> dict[str, float | str]:
    """Run one workload and return its figures."""
    clock, bus = SteppedClock(), AnsweringBus()
    aggregator = open_aggregator(folder, clock, bus)
    messages = list(payloads(workload))
    readings, unflushed, acknowledgements = 0, 0, set()
    written, cpu = written_bytes(), time.process_time()
    for at_ms, count, message in messages:
        clock.ms = max(clock.ms, at_ms)
        bus.handlers[topics.READINGS](topics.READINGS, message)
        readings, unflushed = readings + count, unflushed + count
        if workload.flush_after and unflushed >= workload.flush_after:
            bus.handlers[topics.READINGS](topics.READINGS, b"")
            unflushed = 0
        aggregator.tick()
        if not workload.flush_after or workload.rate < 100:  # calls that a timer would make in between
            clock.ms += 500
            aggregator.tick()
            clock.ms -= 500
        acknowledgements.add(bus.acknowledged)
    cpu, written = time.process_time() - cpu, written_bytes() - written
    begin = time.process_time()
    open_aggregator(folder, SteppedClock(), AnsweringBus())
    return {
        "name": workload.name,
        "readings": readings,
        "cpu_us_per_reading": round(1e6 * cpu / readings, 2),
        "written_bytes_per_reading": round(written / readings, 2),
        "written_mb_per_day": round(written / workload.seconds * 86_400 / 1e6, 1),
        "acknowledgements": len(acknowledgements),
        "replay_s": round(time.process_time() - begin, 2),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def main() -> None:
    """Run the workloads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="a folder on the disk to measure")
    parser.add_argument("--only", default="", help="workloads whose name contains this")
    options = parser.parse_args()
    found = []
    for workload in WORKLOADS:
        if options.only in workload.name:
            with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                found.append(measure(workload, Path(folder)))
    if options.json:
        print(json.dumps({"workloads": found, "settings": [asdict(workload) for workload in WORKLOADS]}))
        return
    print("| workload | µs a reading | bytes written a reading | MB a day | replay s | peak MB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for one in found:
        columns = (
            "name",
            "cpu_us_per_reading",
            "written_bytes_per_reading",
            "written_mb_per_day",
            "replay_s",
            "peak_mb",
        )
        print("| " + " | ".join(str(one[name]) for name in columns) + " |")


if __name__ == "__main__":
    main()
