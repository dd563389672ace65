"""Rows wait here until they fill a batch, grow old, or are urgent.

Pure: rows and the monotonic time go in, groups of rows that fit one batch come out, each with its bytes, so that
nothing is encoded twice. How many rows fit is estimated from what the last ones took; when the estimate says full, the
rows are encoded, and the number is corrected once by what that shows. Only rows whose real size the estimate missed
badly (a new kind of series, noise) are encoded a third time.
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
"""What turns rows into the bytes that count, such as wire.codec.pack; it may raise WireError."""


class Cause(StrEnum):
    """Why a group is handed out."""

    FULL = "full"
    OLD = "old"
    URGENT = "urgent"
    FLUSH = "flush"


class FormedBatch(NamedTuple):
    """Rows that make one batch, in the order in which they came, and their bytes."""

    lane: Lane
    rows: Waiting
    body: bytes
    cause: Cause


class RejectedRows(NamedTuple):
    """A single row (or report, or notice) that no batch can hold, and why."""

    lane: Lane
    rows: Waiting
    error: WireError


@dataclass(frozen=True, slots=True)
class Fill:
    """How full a lane is, and the age of the oldest row in it (0 when empty)."""

    rows: int
    estimated_bytes: int
    age_s: float


@dataclass(slots=True)
class _Chunk:
    rows: int
    added: float


class Batcher:
    """Collects rows by lane and hands them out in groups of at most ``max_bytes`` once encoded.

    ``encode`` gives the bytes that count, ``max_age_s`` is the longest that a row waits (urgent ones never do), and
    ``refuse`` receives rows that can never be sent, so that they block nothing behind them.
    Use one from one thread only.
    """

    def __init__(
        self, encode: Encoder, max_bytes: int, max_age_s: float, refuse: Callable[[RejectedRows], None]
    ) -> None:
        self._encode, self._max_bytes, self._max_age_s, self._refuse = encode, max_bytes, max_age_s, refuse
        self._piles: dict[tuple[Lane, type[Waiting]], _Queue] = {}

    def add(self, lane: Lane, rows: Waiting, now: float) -> None:
        """Put rows into a lane at ``now`` (monotonic seconds)."""
        if len(rows):
            self._piles.setdefault((lane, type(rows)), _Queue(_START[type(rows)])).add(rows, now)

    def due(self, now: float) -> Iterator[FormedBatch]:
        """Yield what is to be sent at ``now``, urgent lanes first."""
        for (lane, _), pile in self._in_order():
            while pile:
                cause = self._cause(lane, pile, now)
                if cause is None:
                    break
                filled = self._take(lane, pile, cause)
                if filled is not None:
                    yield filled
                elif cause is Cause.FULL:
                    break  # there is still room: the measurement has corrected the estimate

    def flush(self) -> Iterator[FormedBatch]:
        """Yield everything that waits, urgent lanes first."""
        for (lane, _), pile in self._in_order():
            while pile:
                filled = self._take(lane, pile, Cause.FLUSH)
                if filled is not None:
                    yield filled

    def fill(self, lane: Lane, now: float) -> Fill:
        """Return how full a lane is and how old its oldest row."""
        piles = [pile for (where, _), pile in self._piles.items() if where == lane and pile]
        age = max((now - pile.oldest for pile in piles), default=0.0)
        return Fill(sum(p.rows for p in piles), round(sum(p.estimate() for p in piles)), max(0.0, age))

    def next_due(self) -> float | None:
        """Return the monotonic time at which the oldest row becomes old, None when nothing waits."""
        return min((pile.oldest + self._max_age_s for pile in self._piles.values() if pile), default=None)

    def _in_order(self) -> list[tuple[tuple[Lane, type[Waiting]], _Queue]]:
        return sorted(self._piles.items(), key=lambda item: list(Lane).index(item[0][0]))

    def _cause(self, lane: Lane, pile: _Queue, now: float) -> Cause | None:
        if lane is Lane.URGENT or pile.single:
            return Cause.URGENT
        if pile.estimate() >= self._max_bytes:
            return Cause.FULL
        return Cause.OLD if now - pile.oldest >= self._max_age_s else None

    def _take(self, lane: Lane, pile: _Queue, cause: Cause) -> FormedBatch | None:
        """Return a group, or None: nothing could be encoded (see ``refuse``), or the pile is not full after all."""
        tried = 1 if pile.single else pile.fitting(self._max_bytes)
        best: tuple[int, bytes] | None = None
        corrected = False
        while True:
            body = self._try(lane, pile, tried)
            if body is not None and len(body) <= self._max_bytes:
                best = (tried, body)
                wanted = min(pile.rows, pile.fitting(self._max_bytes))
                if corrected or pile.single or wanted <= tried:
                    break
            elif best is not None:
                break  # the correction overshot: what fitted before it stands
            elif tried == 1:
                return None
            else:
                wanted = min(tried - 1, pile.fitting(self._max_bytes)) if body is not None else tried // 2
            tried, corrected = max(1, wanted), True
        number, body = best
        if cause is Cause.FULL and number == pile.rows and len(body) < self._max_bytes:
            return None
        return FormedBatch(lane, pile.remove(number), body, cause)

    def _try(self, lane: Lane, pile: _Queue, number: int) -> bytes | None:
        """Return the first rows encoded, or None when they cannot be; a single one that cannot be is given up."""
        try:
            body = self._encode(pile.first(number))
            pile.measured(number, len(body))
            if number == 1 and len(body) > self._max_bytes:
                raise TooLargeError(f"one row takes {len(body)} bytes, a batch holds {self._max_bytes}")
        except WireError as error:
            if number == 1:
                self._refuse(RejectedRows(lane, pile.remove(1), error))
            return None
        return body


_START = {Aggregates: 4.0, Anomalies: 120.0, Notice: 400.0}
"""Bytes a row to begin with, before anything was measured."""


class _Queue:
    """Rows of one kind in one lane, oldest first, and what is known of their size."""

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
        """Whether each of these goes alone: counters of two times cannot be one notice."""
        return bool(self._parts) and isinstance(self._parts[0], Notice)

    @property
    def oldest(self) -> float:
        """When the oldest row came."""
        return self._chunks[0].added

    def add(self, rows: Waiting, now: float) -> None:
        """Put rows at the end."""
        self._chunks.append(_Chunk(len(rows), now))
        self._parts.append(rows)
        self.rows += len(rows)

    def estimate(self) -> float:
        """Return the bytes that all rows would take."""
        if self._measure is None:
            return self._base + self.rows * self._rate
        number, size = self._measure
        return size + (self.rows - number) * self._rate

    def fitting(self, max_bytes: int) -> int:
        """Return how many of the rows would fit, at least 1."""
        if self._measure is None:
            number = int((max_bytes - self._base) / self._rate)
        elif self._measure[1] <= max_bytes:
            number = self._measure[0] + int((max_bytes - self._measure[1]) / self._rate)
        else:  # a little more than the rate says is taken off, so that one correction is enough
            number = self._measure[0] - int((self._measure[1] - max_bytes) / (self._rate * 0.8)) - 1
        return max(1, min(number, self.rows))

    def measured(self, number: int, size: int) -> None:
        """Learn what the first ``number`` rows take: from two measurements, what one more row does."""
        average = size / number
        if self._measure is not None and abs(number - self._measure[0]) >= _ENOUGH:
            slope = (size - self._measure[1]) / (number - self._measure[0])
            self._rate = min(max(slope, average / 4), average)
        elif not average / 2 <= self._rate <= average:
            self._rate = 0.9 * average
        self._base = size - self._rate * number
        self._measure = (number, size)

    def first(self, number: int) -> Waiting:
        """Return the first rows, with no series in the directory that has none."""
        merged = self._merged()
        if isinstance(merged, Aggregates):
            return merged.take(slice(0, number)).compact()
        if isinstance(merged, Anomalies):
            return Anomalies(merged.reports[:number])
        return merged

    def remove(self, number: int) -> Waiting:
        """Take the first rows out and return them."""
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


_ENOUGH = 8
"""Rows between two measurements from which the bytes of one more row are estimated."""
