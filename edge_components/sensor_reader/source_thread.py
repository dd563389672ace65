"""Source with its own thread, which passes readings to the loop through a bounded queue.

A worker that raises SourceError is restarted after a delay; one that hangs is abandoned and replaced, so that it
affects neither the loop nor other sources.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from edge_components.common.ports import Clock
from edge_components.sensor_reader.arrival_clock import ArrivalClock
from edge_components.sensor_reader.errors import RejectedError, SourceError
from edge_components.sensor_reader.mapping import names, values
from edge_components.sensor_reader.mapping.decoder import Decoder
from edge_components.sensor_reader.sources import Context, Sink
from edge_components.sensor_reader.timestamps import EventTimes
from wire.model import Quality

MAX_QUEUED = 20_000
"""Maximum number of queued readings; beyond it the worker waits, or the oldest ones are dropped."""

MAX_ABANDONED = 3
FIRST_RETRY_S, LONGEST_RETRY_S = 1.0, 30.0
_JOIN_SECONDS = 2.0
_CLOCK_RETRY_S = 1.0
_MAX_FUTURE_MS = 86_400_000


class Sample(NamedTuple):
    """One reading as received from the device; ``time`` is unparsed, None for the time of arrival."""

    name: str
    value: Any
    time: Any = None
    quality: int = Quality.GOOD
    unit: str = ""
    resolution: float | None = None


class Outlet:
    """Interface from a worker to its source; called on the worker's thread."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Condition()
        self._queue: deque[tuple[Sample | bytes, int, float]] = deque()
        self._stop = threading.Event()
        self.active_at = context.clock.monotonic()
        self.failure = "not connected yet"
        """Reason for the absence of readings, empty if the device works."""
        self.finished = False

    @property
    def stopping(self) -> bool:
        """True once the worker must return."""
        return self._stop.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait, and return whether the worker must return."""
        self.active_at = self._context.clock.monotonic()
        return self._stop.wait(seconds)

    def works(self) -> None:
        """Record that the device has answered."""
        self.active_at = self._context.clock.monotonic()
        self.failure = ""

    def put(self, items: Sequence[Sample | bytes], *, block: bool = False) -> None:
        """Queue readings, or payloads for the source's decoder.

        If the queue is full, wait for the loop with ``block``; otherwise drop and count the oldest items.
        """
        arrival_ms, now = self._context.clock.wall_ms(), self._context.clock.monotonic()
        self.active_at = now
        dropped = 0
        with self._lock:
            while block and len(self._queue) >= MAX_QUEUED and not self.stopping:
                self._lock.wait(0.1)
                self.active_at = self._context.clock.monotonic()
            self._queue.extend((item, arrival_ms, now) for item in items)
            while not block and len(self._queue) > MAX_QUEUED:
                self._queue.popleft()
                dropped += 1
        if dropped:
            self._context.log.warning("dropped_readings", "readings arrive faster than they are processed", dropped)
        self._context.wake()

    def reject(self, reason: str, text: str, *, key: str = "") -> None:
        """Count and log an invalid reading."""
        self._context.log.warning(reason, text, key=key)

    def take(self) -> list[tuple[Sample | bytes, int, float]]:
        """Return and remove the queued items; called on the loop."""
        with self._lock:
            taken = list(self._queue)
            self._queue.clear()
            self._lock.notify_all()
        return taken

    def stop(self) -> None:
        """Request the worker to return; called on the loop."""
        self._stop.set()
        with self._lock:
            self._lock.notify_all()


class Worker(Protocol):
    """Work of one kind of source."""

    def work(self, outlet: Outlet) -> None:
        """Connect and read until stopped or at the end of the data; raises SourceError to be restarted.

        Must call :meth:`Outlet.wait` or :meth:`Outlet.works` more often than the source's ``hang_s``.
        """


class ThreadSource:
    """See edge_components.sensor_reader.sources.Source. Series are named by their samples' names, escaped."""

    def __init__(
        self,
        context: Context,
        open_worker: Callable[[], Worker],
        *,
        hang_s: float = 60.0,
        decoder: Decoder | None = None,
    ) -> None:
        self._context, self._open_worker, self._hang_s, self._decoder = context, open_worker, hang_s, decoder
        self._outlet = Outlet(context)
        self._thread: threading.Thread | None = None
        self._abandoned = 0
        self._arrival_clock = ArrivalClock(context.clock)
        self._times = EventTimes(_MAX_FUTURE_MS) if decoder is None else decoder.times
        self._series_ids: dict[str, int] = {}
        self._held: list[tuple[Sample | bytes, int, float]] = []

    def start(self) -> None:
        """Start the worker's thread."""
        self._outlet = Outlet(self._context)
        self._thread = threading.Thread(
            target=_run, args=(self._open_worker, self._outlet, self._context), name=self._context.name, daemon=True
        )
        self._thread.start()

    def poll(self, sink: Sink) -> None:
        """Pass the queued readings to the sink."""
        self._replace_hanging()
        items = [*self._held, *self._outlet.take()]
        self._held = []
        for item, wall_ms, arrived in items:
            arrival_ms = self._arrival_clock.moment_ms(wall_ms, arrived)
            if arrival_ms is None:
                self._held = [*self._held, (item, wall_ms, arrived)][-MAX_QUEUED:]
                continue
            for sample in (item,) if isinstance(item, Sample) else self._decoded(item, sink):
                self._take(sample, arrival_ms, arrived, sink)

    def next_poll_s(self) -> float:
        """Return the seconds until the next check for a hanging worker or for a clock that was set."""
        return _CLOCK_RETRY_S if self._held else self._hang_s

    def blocked(self) -> bool:
        """Return False: devices do not wait for acknowledgements."""
        return False

    def forget(self, address: str) -> None:
        """Have a series determined again."""
        self._series_ids.pop(address, None)

    def health(self) -> Mapping[str, Any]:
        """Return whether the device answers, and the reason if not."""
        outlet = self._outlet
        if outlet.finished:
            return {"state": "finished"}
        return {"connected": not outlet.failure, **({"failure": outlet.failure} if outlet.failure else {})}

    def close(self) -> None:
        """Stop the worker; it is abandoned if it does not return in time."""
        self._outlet.stop()
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)
            if self._thread.is_alive():
                self._context.log.warning("source_threads_abandoned", "the device does not answer while closing")
            self._thread = None

    def _replace_hanging(self) -> None:
        thread, silent_s = self._thread, self._context.clock.monotonic() - self._outlet.active_at
        if thread is None or not thread.is_alive() or silent_s <= self._hang_s or self._abandoned >= MAX_ABANDONED:
            return
        self._abandoned += 1
        text = f"no response for {silent_s:.0f} s; restarted, {MAX_ABANDONED - self._abandoned} times more"
        self._context.log.error("source_hangs", text)
        self._outlet.stop()
        waiting = self._outlet.take()
        self.start()
        self._held += waiting

    def _decoded(self, payload: bytes, sink: Sink) -> list[Sample]:
        decoder, topic = self._decoder, self._context.name
        if decoder is None:
            return []
        columns = decoder.decode([topic.encode()], [payload])
        if columns.skipped:
            self._context.log.count("fields_skipped", columns.skipped)
        if columns.nulls:
            self._context.log.count("rejected_null", columns.nulls)
        for _index, error in columns.rejections:
            sink.reject(error.reason, error.with_payload(payload), key=topic)
        samples = []
        for at, field in enumerate(columns.fields):
            try:
                name = decoder.name(topic, field)
            except RejectedError as error:
                sink.reject(error.reason, error.with_payload(payload), key=topic)
                continue
            unit = decoder.unit(field, columns.units[at], name)
            samples.append(Sample(name, columns.values[at], columns.times[at], columns.qualities[at], unit))
        return samples

    def _take(self, sample: Sample, arrival_ms: int, arrived: float, sink: Sink) -> None:
        try:
            value = values.number(sample.value)
            time_ms, replaced = self._times.one(sample.time, arrival_ms)
            series_id = self._series_ids.get(sample.name)
            if series_id is None:
                name = names.escape(sample.name)
                series_id = sink.series_id(name, sample.name, sample.unit, sample.resolution)
                self._series_ids[sample.name] = series_id
        except RejectedError as error:
            sink.reject(error.reason, f"{sample.name[:80]}: {error}", key=sample.name)
            return
        quality = sample.quality
        if replaced:
            self._context.log.count("times_replaced")
            quality = max(quality, Quality.UNCERTAIN)
        sink.extend((series_id,), (time_ms,), (value,), (quality,), arrived)


def _run(open_worker: Callable[[], Worker], outlet: Outlet, context: Context) -> None:
    """Work until stopped, with restarts after failures."""
    retry_s = FIRST_RETRY_S
    while not outlet.stopping:
        began = context.clock.monotonic()
        try:
            open_worker().work(outlet)
        except SourceError as error:
            outlet.failure = str(error)
            context.log.error("source_disconnected", f"{error}; it is retried")
        except Exception as error:  # noqa: BLE001 # the thread's outermost edge
            outlet.failure = f"{type(error).__name__}: {error}"
            context.log.error("source_errors", outlet.failure)
        else:
            outlet.finished = not outlet.stopping
            return
        if context.clock.monotonic() - began > LONGEST_RETRY_S:
            retry_s = FIRST_RETRY_S
        if outlet.wait(retry_s):
            return
        retry_s = min(LONGEST_RETRY_S, 2 * retry_s)


def rounds(outlet: Outlet, clock: Clock, interval_s: float) -> Iterator[None]:
    """Yield at an interval, at once the first time, until the worker is asked to return; missed rounds are skipped."""
    due = clock.monotonic()
    while not outlet.stopping:
        due = interval(due, clock.monotonic(), interval_s)
        yield
        outlet.wait(max(0.0, due - clock.monotonic()))


def interval(due: float, now: float, interval_s: float) -> float:
    """Return when the next round is due; missed rounds are skipped."""
    return due + interval_s if now < due + interval_s else now + interval_s
