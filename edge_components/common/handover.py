"""Handover of batches between two stages, without loss and without duplicates. Pure.

A sender numbers each batch, keeps it, and sends it until it is acknowledged. :class:`SendWindow` decides what is due;
:class:`Outbox` adds the payloads of a sender that keeps them in memory (the forwarder keeps them in its spool).
:class:`Inbox` is the receiver's record, and :class:`Reorder` precedes it in a receiver that needs the order.
"""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from edge_components.common.errors import HandoverError
from wire.acknowledgement import Acknowledgement, SequenceSet

T = TypeVar("T")


def new_epoch(wall_ms: int, rng: random.Random) -> int:
    """Return a new epoch id: 44 bits of milliseconds and 20 random bits, in case the wall clock is wrong."""
    return ((wall_ms & (2**44 - 1)) << 20) | rng.getrandbits(20)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with jitter: a delay is at least half of its ceiling, which doubles to ``longest_s``."""

    in_flight: int = 32
    first_s: float = 2.0
    longest_s: float = 60.0

    def delay(self, attempts: int, rng: random.Random) -> float:
        """Return the seconds to wait after the ``attempts``-th attempt."""
        ceiling = min(self.longest_s, self.first_s * 2.0 ** min(attempts - 1, 30))
        return ceiling * (0.5 + 0.5 * rng.random())


@dataclass(slots=True)
class _Flight:
    attempts: int
    due: float


class SendWindow:
    """Sequence numbers that were sent and not acknowledged, and the time at which each is due again."""

    def __init__(self, policy: RetryPolicy, rng: random.Random) -> None:
        self._policy, self._rng = policy, rng
        self._flights: dict[int, _Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, sequence: int) -> bool:
        return sequence in self._flights

    @property
    def room(self) -> int:
        """Number of further batches that may be in flight."""
        return max(0, self._policy.in_flight - len(self._flights))

    def set_policy(self, policy: RetryPolicy) -> None:
        """Apply another policy; due times that are set do not change."""
        self._policy = policy

    def sent(self, sequence: int, now: float) -> int:
        """Record a sending at ``now`` (monotonic seconds) and return the number of times it has been sent."""
        flight = self._flights.setdefault(sequence, _Flight(0, now))
        flight.attempts += 1
        flight.due = now + self._policy.delay(flight.attempts, self._rng)
        return flight.attempts

    def not_before(self, sequence: int, at: float) -> None:
        """Put the next sending of a number off until ``at`` if it would be due earlier."""
        flight = self._flights[sequence]
        flight.due = max(flight.due, at)

    def refused(self, sequence: int, now: float) -> None:
        """Record that the last sending failed: it does not count, and the number is due at once."""
        flight = self._flights[sequence]
        flight.attempts, flight.due = flight.attempts - 1, now

    def resend_all(self) -> None:
        """Make every number due at once: the receiver may have lost messages."""
        for flight in self._flights.values():
            flight.due = 0.0

    def due(self, now: float) -> list[int]:
        """Return the numbers to send again, lowest first."""
        return sorted(sequence for sequence, flight in self._flights.items() if flight.due <= now)

    def next_s(self, now: float) -> float:
        """Return the seconds until a number is due; infinite if nothing is in flight."""
        return max(0.0, min((flight.due for flight in self._flights.values()), default=float("inf")) - now)

    def acknowledge(self, ack: Acknowledgement) -> list[int]:
        """Remove and return the acknowledged numbers, lowest first."""
        freed = sorted(sequence for sequence in self._flights if ack.covers(sequence))
        for sequence in freed:
            del self._flights[sequence]
        return freed

    def forget(self, sequence: int) -> None:
        """Remove a number that is not to be sent again."""
        self._flights.pop(sequence, None)


class Outbox:
    """Unacknowledged payloads of a sender, in memory, limited in bytes."""

    def __init__(self, epoch: int, policy: RetryPolicy, rng: random.Random, max_bytes: int = 4_000_000) -> None:
        self.epoch = epoch
        self._window = SendWindow(policy, rng)
        self._payloads: OrderedDict[int, bytes] = OrderedDict()
        self._fresh: deque[int] = deque()
        self._max_bytes, self._bytes, self._last = max_bytes, 0, 0

    def __len__(self) -> int:
        return len(self._payloads)

    @property
    def size(self) -> int:
        """Bytes of the payloads."""
        return self._bytes

    @property
    def room(self) -> int:
        """Bytes that may be added."""
        return self._max_bytes - self._bytes

    @property
    def oldest(self) -> int | None:
        """Lowest unacknowledged number, None if the outbox is empty."""
        return next(iter(self._payloads), None)

    @property
    def next_sequence(self) -> int:
        """Number under which the next payload must be encoded."""
        return self._last + 1

    def set_limits(self, policy: RetryPolicy, max_bytes: int) -> None:
        """Apply other limits; payloads stay even if they exceed ``max_bytes``."""
        self._window.set_policy(policy)
        self._max_bytes = max_bytes

    def add(self, payload: bytes) -> int:
        """Add a payload encoded under :attr:`next_sequence`; raises HandoverError if it does not fit."""
        if self._bytes + len(payload) > self._max_bytes:
            raise HandoverError(f"outbox full: {self._bytes} of {self._max_bytes} bytes, {len(self._payloads)} batches")
        self._last += 1
        self._payloads[self._last] = payload
        self._bytes += len(payload)
        self._fresh.append(self._last)
        return self._last

    def drop_oldest(self) -> tuple[int, bytes] | None:
        """Drop the oldest payload, for a source that cannot wait; return (number, payload), None if empty."""
        if not self._payloads:
            return None
        sequence, payload = self._payloads.popitem(last=False)
        self._bytes -= len(payload)
        self._window.forget(sequence)
        if self._fresh and self._fresh[0] == sequence:
            self._fresh.popleft()
        return sequence, payload

    def held(self) -> Mapping[int, bytes]:
        """Return the payloads by number, oldest first."""
        return self._payloads

    def restore(self, epoch: int, last: int, payloads: Mapping[int, bytes]) -> None:
        """Continue the outbox of a previous process: its ``payloads``, and ``last``, the last number it assigned."""
        self.epoch, self._last = epoch, last
        self._payloads = OrderedDict(sorted(payloads.items()))
        self._bytes = sum(len(payload) for payload in payloads.values())
        self._fresh = deque(self._payloads)

    def to_send(self, now: float) -> Iterator[tuple[int, bytes, int]]:
        """Yield (number, payload, times sent) of due payloads: first retransmissions, then new ones."""
        for sequence in self._window.due(now):
            if sequence in self._window:  # otherwise acknowledged or dropped during the iteration
                yield sequence, self._payloads[sequence], self._window.sent(sequence, now)
        while self._fresh and self._window.room:
            sequence = self._fresh.popleft()
            yield sequence, self._payloads[sequence], self._window.sent(sequence, now)

    def refused(self, sequence: int, now: float) -> None:
        """Record that the sending of a payload failed: it does not count, and the payload is due at once."""
        if sequence in self._window:
            self._window.refused(sequence, now)

    def resend_all(self) -> None:
        """Make every sent payload due at once: the receiver may have lost messages."""
        self._window.resend_all()

    def next_s(self, now: float) -> float:
        """Return the seconds until a payload is due; infinite if the outbox is empty."""
        return 0.0 if self._fresh and self._window.room else self._window.next_s(now)

    def acknowledge(self, ack: Acknowledgement) -> int:
        """Remove acknowledged payloads and return their number; ignore an acknowledgement of another epoch."""
        if ack.epoch != self.epoch:
            return 0
        freed = self._window.acknowledge(ack)
        for sequence in freed:
            self._bytes -= len(self._payloads.pop(sequence))
        return len(freed)


class Inbox:
    """Receiver's record of accepted batches by sender's epoch, for the ``epochs`` most recent ones."""

    def __init__(self, epochs: int = 8) -> None:
        self._held: OrderedDict[int, SequenceSet] = OrderedDict()
        self._acks_due: set[int] = set()
        self._epochs = epochs

    def accept(self, epoch: int, sequence: int) -> bool:
        """Record a batch and return whether it is new; in both cases an acknowledgement of its epoch is due."""
        held = self._held.setdefault(epoch, SequenceSet())
        self._held.move_to_end(epoch)
        while len(self._held) > self._epochs:
            old, _ = self._held.popitem(last=False)
            self._acks_due.discard(old)
        self._acks_due.add(epoch)
        return held.add(sequence)

    def __contains__(self, name: tuple[int, int]) -> bool:
        """Return whether a batch, named by epoch and sequence number, was accepted before."""
        return name[0] in self._held and name[1] in self._held[name[0]]

    def highest(self, epoch: int) -> int:
        """Return the highest accepted number of an epoch, 0 for an unknown one."""
        return self._held[epoch].highest if epoch in self._held else 0

    @property
    def due(self) -> bool:
        """True if an acknowledgement is due."""
        return bool(self._acks_due)

    def held(self) -> dict[int, tuple[int, tuple[tuple[int, int], ...]]]:
        """Return (cumulative number, ranges above it) by sender's epoch, in the order of last reception."""
        return {epoch: (numbers.cumulative, numbers.ranges) for epoch, numbers in self._held.items()}

    def restore(self, held: Mapping[int, tuple[int, Iterable[tuple[int, int]]]]) -> None:
        """Continue the inbox of a previous process, from :meth:`held`."""
        self._held = OrderedDict(
            (epoch, SequenceSet(c, [(a, b) for a, b in ranges])) for epoch, (c, ranges) in held.items()
        )

    def repeat(self) -> None:
        """Make the acknowledgement of the most recent sender due again, in case it was lost."""
        if self._held:
            self._acks_due.add(next(reversed(self._held)))

    def acknowledgements(self) -> list[Acknowledgement]:
        """Return the acknowledgements due since the last call, one per epoch."""
        acks = [self._held[epoch].acknowledgement(epoch) for epoch in sorted(self._acks_due)]
        self._acks_due.clear()
        return acks


class Reorder(Generic[T]):
    """Buffer that restores the order of sequence numbers.

    A lost batch is sent again after newer ones. If those were processed first, its readings would be late. So newer
    batches wait here, unacknowledged, until the missing one arrives, for at most ``wait_s``: a sender that has dropped
    a batch does not send it again. At most ``max_pending`` batches of a sender wait.
    """

    def __init__(self, wait_s: float, max_pending: int = 1000) -> None:
        self._wait_s, self._max_pending = wait_s, max_pending
        self._waiting: dict[int, dict[int, T]] = {}
        self._since: dict[int, float] = {}

    def __len__(self) -> int:
        """Return the number of batches that wait for a missing one."""
        return sum(map(len, self._waiting.values()))

    def add(self, epoch: int, sequence: int, item: T, now: float) -> bool:
        """Add a batch received at ``now`` (monotonic seconds); return False if too many batches wait."""
        waiting = self._waiting.setdefault(epoch, {})
        if len(waiting) >= self._max_pending and sequence not in waiting:
            return False
        waiting.setdefault(sequence, item)
        self._since.setdefault(epoch, now)
        return True

    def ready(self, highest: Callable[[int], int], now: float) -> Iterator[tuple[int, int, T]]:
        """Yield (epoch, sequence, item) in order; ``highest`` returns the highest accepted number of an epoch."""
        for epoch in list(self._waiting):
            waiting = self._waiting[epoch]
            while waiting:
                first = min(waiting)
                if first > highest(epoch) + 1 and now - self._since[epoch] < self._wait_s:
                    break
                yield epoch, first, waiting.pop(first)
                self._since[epoch] = now
            if not waiting:
                del self._waiting[epoch], self._since[epoch]
