"""Load generator: publishes readings with QoS 1 from prebuilt packets, cheap enough to share cores with components.

Runs as a process of its own, ``python -m benchmarks.edge_load``, and prints one JSON object a second: ``at``
(monotonic seconds), ``sent``, ``accepted`` (acknowledged by the broker), ``backlog`` (messages that the broker holds),
``dropped`` (by the broker), and a last one with ``done`` true and ``cpu_s``. SIGTERM ends it after its last
acknowledgement. Exit code 1 when the broker breaks the protocol or does not acknowledge everything.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.edge_pace import ClosedLoop, Pace, Steady
from benchmarks.edge_packets import (
    DROPPED,
    HISTORY_READINGS,
    STORED,
    UPTIME,
    LoadError,
    Ring,
    connect_packet,
    subscribe_packet,
)
from benchmarks.edge_shapes import SHAPES
from device_sim.chaos.packets import Framer, Kind

TICK_SECONDS = 0.01
REPORT_SECONDS = 1.0
ANSWER_SECONDS = 30.0
RECEIVE_BYTES = 1 << 18
HISTORY_RATE = 20_000.0


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    port: int
    series: int
    rate: float
    seconds: float
    history: int
    window_ms: int
    backlog: int
    shape: str = "single"


class Generator:
    """The publishing connection and the one that follows the broker's own statistics."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._ring = Ring(options.series, SHAPES[options.shape])
        self._round = options.series // SHAPES[options.shape].series
        self._publisher = _connect(options.port, "load-publisher")
        self._watcher = _connect(options.port, "load-watcher")
        self._watcher.sendall(subscribe_packet((STORED, DROPPED, UPTIME)))
        self._framer = Framer()
        self._unsent = self._ring.births(time.time_ns() // 1_000_000)
        self._base: int | None = None
        self._reported = 0.0
        self.sent = self.accepted = self.backlog = self.dropped = 0
        self.stopping = False

    def run(self) -> None:
        """Send the history, then readings at the wanted pace, then wait for the last acknowledgement."""
        options = self._options
        step_ms = options.window_ms // HISTORY_READINGS
        began_ms = time.time_ns() // 1_000_000 - options.history * options.window_ms
        for step in range(options.history * HISTORY_READINGS):
            self._publish(Steady(HISTORY_RATE, self.sent), self.sent + self._round, began_ms + step * step_ms)
        pace: Pace = Steady(options.rate, self.sent) if options.rate else ClosedLoop(self.sent, options.backlog)
        self._publish(pace, None, None)
        self._finish()

    def report(self, **more: object) -> None:
        """Print the present counts."""
        counts = {"sent": self.sent, "accepted": self.accepted, "backlog": self.backlog, "dropped": self.dropped}
        print(json.dumps({"at": time.monotonic(), **counts, **more}), flush=True)

    def _publish(self, pace: Pace, end: int | None, time_ms: int | None) -> None:
        """Publish what is due until ``end`` messages are sent, or until the time is over."""
        began = time.monotonic()
        while end is None or self.sent < end or self._unsent:
            now = time.monotonic()
            if self.stopping or (end is None and now - began >= self._options.seconds):
                return
            if not self._unsent:
                self._fill(pace.allowed(now - began), end, time_ms)
            self._exchange(pace, now - began)
            time.sleep(max(TICK_SECONDS, min(REPORT_SECONDS / 4, pace.wait(self.sent, now - began))))

    def _fill(self, allowed: int, end: int | None, time_ms: int | None) -> None:
        last = allowed if end is None else min(allowed, end)
        count = min(last - self.sent, self._ring.size // 2 - (self.sent - self.accepted), self._ring.distinct)
        if count > 0:
            moment = time.time_ns() // 1_000_000 if time_ms is None else time_ms
            self._unsent = self._ring.messages(self.sent, count, moment)
            self.sent += count

    def _exchange(self, pace: Pace, elapsed: float) -> None:
        """Send pending packets, read acknowledgements and statistics, and report once a second."""
        if self._unsent:
            with contextlib.suppress(BlockingIOError):
                self._unsent = self._unsent[self._publisher.send(self._unsent) :]
        for data in _received(self._publisher):
            self.accepted += self._ring.acknowledged(self.accepted, data)
        if self._statistics():
            pace.consumed(self.accepted - self.backlog, elapsed)
        now = time.monotonic()
        if now - self._reported >= REPORT_SECONDS:
            self._reported = now
            self.report()

    def _statistics(self) -> bool:
        """Read the broker's statistics and return whether it has completed an update."""
        updated = False
        for data in _received(self._watcher):
            for packet in self._framer.feed(data):
                if packet.kind is not Kind.PUBLISH:
                    continue
                length = int.from_bytes(packet.body[:2], "big")
                topic, payload = packet.topic, packet.body[2 + length :]
                if topic == STORED:
                    self._base = int(payload) if self._base is None else self._base
                    self.backlog = max(0, int(payload) - self._base)
                elif topic == DROPPED:
                    self.dropped = int(payload)
                updated = updated or topic == UPTIME
        return updated

    def _finish(self) -> None:
        deadline = time.monotonic() + ANSWER_SECONDS
        while self._unsent or self.accepted < self.sent:
            if time.monotonic() > deadline:
                raise LoadError(f"{self.sent - self.accepted} of {self.sent} messages not acknowledged by the broker")
            self._exchange(Steady(0.0, 0), 0.0)
            time.sleep(TICK_SECONDS)


def _connect(port: int, client_id: str) -> socket.socket:
    """Return a connected socket whose CONNECT the broker accepted."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(connect_packet(client_id))
    answer = connection.recv(4, socket.MSG_WAITALL)
    if answer != b"\x20\x02\x00\x00":
        raise LoadError(f"the broker answers CONNECT with {answer!r}")
    connection.setblocking(False)
    return connection


def _received(connection: socket.socket) -> Iterator[bytes]:
    """Yield what has arrived; raises LoadError when the broker has closed the connection."""
    while select.select((connection,), (), (), 0.0)[0]:
        data = connection.recv(RECEIVE_BYTES)
        if not data:
            raise LoadError("the broker closed the connection")
        yield data
        if len(data) < RECEIVE_BYTES:
            return


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edge_load", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="the broker's port on 127.0.0.1")
    parser.add_argument("--series", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0.0, help="messages/s; 0 as fast as the consumer takes them")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--history", type=int, default=0, help="windows of past readings sent first")
    parser.add_argument("--window-ms", type=int, default=10_000)
    parser.add_argument("--backlog", type=int, default=200, help="messages that the broker holds at least, at rate 0")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="single", help="readings and format of a message")
    return Options(**vars(parser.parse_args()))


def main() -> int:
    """Run the generator and return the exit code."""
    generator = Generator(_options())

    def stop(_number: int, _frame: object) -> None:
        generator.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        generator.run()
    except (LoadError, OSError) as error:
        print(f"load: {error}", file=sys.stderr)
        return 1
    used = resource.getrusage(resource.RUSAGE_SELF)
    generator.report(done=True, cpu_s=round(used.ru_utime + used.ru_stime, 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
