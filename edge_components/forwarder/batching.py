"""Formation of batches: rows wait until they fill a batch, exceed a maximum age, or are urgent. Pure.

A formed batch includes its encoded bytes, so that it is not encoded again. The number of rows that fit is estimated
from the previous batches; the estimate is corrected once by the size of the encoded rows. Only rows whose size differs
much from the estimate (a new kind of series, noise) are encoded a third time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from wire.errors import TooLargeError, WireError
from wire.model import Aggregates, Anomalies, Notice
from wire.topics import Lane

Waiting = Aggregates | Anomalies | Notice
Encoder = Callable[[Waiting], bytes]
"""Encodes rows, such as wire.codec.pack; may raise WireError."""


class Cause(StrEnum):
    """Reason for which a batch is formed."""

    FULL = "full"
    OLD = "old"
    URGENT = "urgent"
    FLUSH = "flush"


class FormedBatch(NamedTuple):
    """Rows of one batch in the order of arrival, and their encoded bytes."""

    lane: Lane
    rows: Waiting
    body: bytes
    cause: Cause


class RejectedRows(NamedTuple):
    """A single row, report or notice that does not fit into any batch, and the reason."""

    lane: Lane
    rows: Waiting
    error: WireError


@dataclass(slots=True)
class _Chunk:
    rows: int
    added: float


class Batcher:
    """Collects rows by lane and forms batches of at most ``max_bytes`` encoded bytes.

    ``max_age_s`` is the maximum time for which a row waits; urgent rows do not wait. ``reject`` receives rows that fit
    into no batch, so that they do not block the rows behind them. Not thread-safe.
    """

    def __init__(
        self, encode: Encoder, max_bytes: int, max_age_s: float, reject: Callable[[RejectedRows], None]
    ) -> None:
        self._encode, self._max_bytes, self._max_age_s, self._reject = encode, max_bytes, max_age_s, reject
        self._queues: dict[tuple[Lane, type[Waiting]], _Queue] = {}

    def add(self, lane: Lane, rows: Waiting, now: float) -> None:
        """Add rows to a lane at ``now`` (monotonic seconds)."""
        if len(rows):
            self._queues.setdefault((lane, type(rows)), _Queue(_INITIAL_RATES[type(rows)])).add(rows, now)

    def due(self, now: float) -> Iterator[FormedBatch]:
        """Yield the batches that are due at ``now``, urgent lanes first."""
        for (lane, _), queue in self._in_order():
            while queue:
                cause = self._cause(lane, queue, now)
                if cause is None:
                    break
                formed = self._take(lane, queue, cause)
                if formed is not None:
                    yield formed
                elif cause is Cause.FULL:
                    break  # the measured size has corrected the estimate: the batch is not full yet

    def flush(self) -> Iterator[FormedBatch]:
        """Yield batches of all waiting rows, urgent lanes first."""
        for (lane, _), queue in self._in_order():
            while queue:
                formed = self._take(lane, queue, Cause.FLUSH)
                if formed is not None:
                    yield formed

    def next_due(self) -> float | None:
        """Return the monotonic time at which the oldest row reaches the maximum age, None if no row waits."""
        return min((queue.oldest + self._max_age_s for queue in self._queues.values() if queue), default=None)

    def _in_order(self) -> list[tuple[tuple[Lane, type[Waiting]], _Queue]]:
        return sorted(self._queues.items(), key=lambda item: list(Lane).index(item[0][0]))

    def _cause(self, lane: Lane, queue: _Queue, now: float) -> Cause | None:
        if lane is Lane.URGENT or queue.single:
            return Cause.URGENT
        if queue.estimate() >= self._max_bytes:
            return Cause.FULL
        return Cause.OLD if now - queue.oldest >= self._max_age_s else None

    def _take(self, lane: Lane, queue: _Queue, cause: Cause) -> FormedBatch | None:
        """Return a batch, or None if a row was rejected or the rows do not fill a batch yet."""
        count = 1 if queue.single else queue.fitting(self._max_bytes)
        best: tuple[int, bytes] | None = None
        corrected = False
        while True:
            body = self._encoded(lane, queue, count)
            if body is not None and len(body) <= self._max_bytes:
                best = (count, body)
                next_count = min(queue.rows, queue.fitting(self._max_bytes))
                if corrected or queue.single or next_count <= count:
                    break
            elif best is not None:
                break  # the corrected number does not fit: use the previous one
            elif count == 1:
                return None
            else:
                next_count = min(count - 1, queue.fitting(self._max_bytes)) if body is not None else count // 2
            count, corrected = max(1, next_count), True
        number, body = best
        if cause is Cause.FULL and number == queue.rows and len(body) < self._max_bytes:
            return None
        return FormedBatch(lane, queue.remove(number), body, cause)

    def _encoded(self, lane: Lane, queue: _Queue, number: int) -> bytes | None:
        """Return the encoded first rows, None if encoding fails; reject a single row for which it fails."""
        try:
            body = self._encode(queue.first(number))
            queue.measured(number, len(body))
            if number == 1 and len(body) > self._max_bytes:
                raise TooLargeError(f"one row takes {len(body)} bytes, a batch holds {self._max_bytes}")
        except WireError as error:
            if number == 1:
                self._reject(RejectedRows(lane, queue.remove(1), error))
            return None
        return body


_INITIAL_RATES = {Aggregates: 4.0, Anomalies: 120.0, Notice: 400.0}
"""Estimated bytes of a row before the first measurement."""


class _Queue:
    """Rows of one kind in one lane, oldest first, with an estimate of their encoded size."""

    def __init__(self, rate: float) -> None:
        self._parts: list[Waiting] = []
        self._chunks: deque[_Chunk] = deque()
        self._base, self._rate = 0.0, rate
        self._measure: tuple[int, int] | None = None
        self.rows = 0

    def __bool__(self) -> bool:
        return self.rows > 0

    @property
    def single(self) -> bool:
        """True for notices, each of which is a batch of its own."""
        return bool(self._parts) and isinstance(self._parts[0], Notice)

    @property
    def oldest(self) -> float:
        """Arrival of the oldest row, in monotonic seconds."""
        return self._chunks[0].added

    def add(self, rows: Waiting, now: float) -> None:
        """Append rows."""
        self._chunks.append(_Chunk(len(rows), now))
        self._parts.append(rows)
        self.rows += len(rows)

    def estimate(self) -> float:
        """Return the estimated encoded size of all rows."""
        if self._measure is None:
            return self._base + self.rows * self._rate
        number, size = self._measure
        return size + (self.rows - number) * self._rate

    def fitting(self, max_bytes: int) -> int:
        """Return the estimated number of rows that fit, at least 1."""
        if self._measure is None:
            number = int((max_bytes - self._base) / self._rate)
        elif self._measure[1] <= max_bytes:
            number = self._measure[0] + int((max_bytes - self._measure[1]) / self._rate)
        else:  # remove a few rows more than estimated, so that one correction suffices
            number = self._measure[0] - int((self._measure[1] - max_bytes) / (self._rate * 0.8)) - 1
        return max(1, min(number, self.rows))

    def measured(self, number: int, size: int) -> None:
        """Update the estimate with the encoded size of the first ``number`` rows."""
        average = size / number
        if self._measure is not None and abs(number - self._measure[0]) >= _MIN_DIFFERENCE:
            slope = (size - self._measure[1]) / (number - self._measure[0])
            self._rate = min(max(slope, average / 4), average)
        elif not average / 2 <= self._rate <= average:
            self._rate = 0.9 * average
        self._base = size - self._rate * number
        self._measure = (number, size)

    def first(self, number: int) -> Waiting:
        """Return the first rows, with a directory of their series only."""
        merged = self._merged()
        if isinstance(merged, Aggregates):
            return merged.take(slice(0, number)).compact()
        if isinstance(merged, Anomalies):
            return Anomalies(merged.reports[:number])
        return merged

    def remove(self, number: int) -> Waiting:
        """Remove and return the first rows."""
        rows = self.first(number)
        merged = self._merged()
        if isinstance(merged, Aggregates):
            self._parts = [merged.take(slice(number, None)).compact()]
        elif isinstance(merged, Anomalies):
            self._parts = [Anomalies(merged.reports[number:])]
        else:
            del self._parts[0]
        self.rows -= number
        self._measure = None
        while self._chunks and self._chunks[0].rows <= number:
            number -= self._chunks.popleft().rows
        if number:
            self._chunks[0].rows -= number
        if not self.rows:
            self._parts = []
        return rows

    def _merged(self) -> Waiting:
        parts = self._parts
        if isinstance(parts[0], Notice) or len(parts) == 1:
            return parts[0]
        if isinstance(parts[0], Aggregates):
            self._parts = [Aggregates.concatenate([part for part in parts if isinstance(part, Aggregates)])]
        else:
            self._parts = [Anomalies(tuple(r for part in parts if isinstance(part, Anomalies) for r in part.reports))]
        return self._parts[0]


_MIN_DIFFERENCE = 8
"""Minimum difference in rows of two measurements from which the size of a row is derived."""
