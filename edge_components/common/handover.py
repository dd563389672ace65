"""Handing batches over so that none is lost and none counts twice.

Number, keep, send, send again, free on acknowledgement.

Pure. :class:`SendWindow` decides what is due; :class:`Outbox` adds the payloads of a sender that keeps them in memory
(the forwarder keeps them in its spool instead); :class:`Inbox` is the receiver's side,
and :class:`Reorder` stands before it where the order matters.
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
    """Return an epoch id that is new even if the wall clock is wrong: 44 bits of milliseconds, 20 of chance."""
    return ((wall_ms & (2**44 - 1)) << 20) | rng.getrandbits(20)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to send again: exponential backoff with full jitter above half, as AWS' architecture blog recommends."""

    in_flight: int = 32
    first_s: float = 2.0
    longest_s: float = 60.0

    def delay(self, attempts: int, rng: random.Random) -> float:
        """Return seconds to wait after the ``attempts``-th sending."""
        ceiling = min(self.longest_s, self.first_s * 2.0 ** min(attempts - 1, 30))
        return ceiling * (0.5 + 0.5 * rng.random())


@dataclass(slots=True)
class _Flight:
    attempts: int
    due: float


class SendWindow:
    """The numbers that were sent and not yet acknowledged, and when each is due again."""

    def __init__(self, policy: RetryPolicy, rng: random.Random) -> None:
        self._policy, self._rng = policy, rng
        self._flights: dict[int, _Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, sequence: int) -> bool:
        return sequence in self._flights

    @property
    def room(self) -> int:
        """How many more may be in flight."""
        return max(0, self._policy.in_flight - len(self._flights))

    def set_policy(self, policy: RetryPolicy) -> None:
        """Go on under another policy; what is already due keeps its time."""
        self._policy = policy

    def sent(self, sequence: int, now: float) -> int:
        """Note a sending at ``now`` (monotonic seconds) and return how often it has been sent."""
        flight = self._flights.setdefault(sequence, _Flight(0, now))
        flight.attempts += 1
        flight.due = now + self._policy.delay(flight.attempts, self._rng)
        return flight.attempts

    def not_before(self, sequence: int, at: float) -> None:
        """Put the next sending of a number off until ``at`` if it would be due earlier."""
        flight = self._flights[sequence]
        flight.due = max(flight.due, at)

    def refused(self, sequence: int, now: float) -> None:
        """Note that the sending noted last failed: it does not count, and the number is due again at once."""
        flight = self._flights[sequence]
        flight.attempts, flight.due = flight.attempts - 1, now

    def resend_all(self) -> None:
        """Make every number due at once: its receiver may have lost what was sent."""
        for flight in self._flights.values():
            flight.due = 0.0

    def due(self, now: float) -> list[int]:
        """Return the numbers to send again, lowest first."""
        return sorted(sequence for sequence, flight in self._flights.items() if flight.due <= now)

    def next_s(self, now: float) -> float:
        """Return the seconds until a number is to be sent again; infinite when none is in flight."""
        return max(0.0, min((flight.due for flight in self._flights.values()), default=float("inf")) - now)

    def acknowledge(self, ack: Acknowledgement) -> list[int]:
        """Forget what the acknowledgement covers and return it, lowest first."""
        freed = sorted(sequence for sequence in self._flights if ack.covers(sequence))
        for sequence in freed:
            del self._flights[sequence]
        return freed

    def forget(self, sequence: int) -> None:
        """Forget a number that is not to be sent again."""
        self._flights.pop(sequence, None)


class Outbox:
    """A sender's unacknowledged payloads, in memory, bounded by bytes."""

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
        """Bytes held."""
        return self._bytes

    @property
    def room(self) -> int:
        """Bytes that still fit."""
        return self._max_bytes - self._bytes

    @property
    def oldest(self) -> int | None:
        """The lowest number that is held and not acknowledged, None when there is none."""
        return next(iter(self._payloads), None)

    @property
    def next_sequence(self) -> int:
        """The number that the next payload must carry."""
        return self._last + 1

    def set_limits(self, policy: RetryPolicy, max_bytes: int) -> None:
        """Go on under other limits; what is held stays, also where it is more than ``max_bytes``."""
        self._window.set_policy(policy)
        self._max_bytes = max_bytes

    def add(self, payload: bytes) -> int:
        """Keep a payload encoded under :attr:`next_sequence`; raises HandoverError when there is no room for it."""
        if self._bytes + len(payload) > self._max_bytes:
            raise HandoverError(f"outbox full: {self._bytes} of {self._max_bytes} bytes, {len(self._payloads)} batches")
        self._last += 1
        self._payloads[self._last] = payload
        self._bytes += len(payload)
        self._fresh.append(self._last)
        return self._last

    def drop_oldest(self) -> tuple[int, bytes] | None:
        """Drop the oldest payload, for a source that cannot wait, and return its number and it (None when empty)."""
        if not self._payloads:
            return None
        sequence, payload = self._payloads.popitem(last=False)
        self._bytes -= len(payload)
        self._window.forget(sequence)
        if self._fresh and self._fresh[0] == sequence:
            self._fresh.popleft()
        return sequence, payload

    def held(self) -> Mapping[int, bytes]:
        """Return what is held, by number, oldest first."""
        return self._payloads

    def restore(self, epoch: int, last: int, payloads: Mapping[int, bytes]) -> None:
        """Go on as the outbox of a former process, which held ``payloads`` and gave out numbers up to ``last``."""
        self.epoch, self._last = epoch, last
        self._payloads = OrderedDict(sorted(payloads.items()))
        self._bytes = sum(len(payload) for payload in payloads.values())
        self._fresh = deque(self._payloads)

    def to_send(self, now: float) -> Iterator[tuple[int, bytes, int]]:
        """Yield (number, payload, times sent) of what is due at ``now``: first what waits again, then what is new."""
        for sequence in self._window.due(now):
            if sequence in self._window:  # else acknowledged or dropped while the caller sent the one before
                yield sequence, self._payloads[sequence], self._window.sent(sequence, now)
        while self._fresh and self._window.room:
            sequence = self._fresh.popleft()
            yield sequence, self._payloads[sequence], self._window.sent(sequence, now)

    def refused(self, sequence: int, now: float) -> None:
        """Note that the sending of a payload failed: it does not count, and the payload is due again at once."""
        if sequence in self._window:
            self._window.refused(sequence, now)

    def resend_all(self) -> None:
        """Make every unacknowledged payload due at once: the receiver may have lost what was sent."""
        self._window.resend_all()

    def next_s(self, now: float) -> float:
        """Return the seconds until :meth:`to_send` yields something; infinite when nothing waits."""
        return 0.0 if self._fresh and self._window.room else self._window.next_s(now)

    def acknowledge(self, ack: Acknowledgement) -> int:
        """Free what is acknowledged and return how many batches that were; another epoch's changes nothing."""
        if ack.epoch != self.epoch:
            return 0
        freed = self._window.acknowledge(ack)
        for sequence in freed:
            self._bytes -= len(self._payloads.pop(sequence))
        return len(freed)


class Inbox:
    """A receiver's record of what it holds, by sender's epoch; remembers the newest ``epochs`` of them."""

    def __init__(self, epochs: int = 8) -> None:
        self._held: OrderedDict[int, SequenceSet] = OrderedDict()
        self._unsaid: set[int] = set()
        self._epochs = epochs

    def accept(self, epoch: int, sequence: int) -> bool:
        """Note a batch and return whether it is new; either way its epoch's acknowledgement is due."""
        held = self._held.setdefault(epoch, SequenceSet())
        self._held.move_to_end(epoch)
        while len(self._held) > self._epochs:
            old, _ = self._held.popitem(last=False)
            self._unsaid.discard(old)
        self._unsaid.add(epoch)
        return held.add(sequence)

    def __contains__(self, name: tuple[int, int]) -> bool:
        """Whether a batch, named by epoch and sequence, was accepted before."""
        return name[0] in self._held and name[1] in self._held[name[0]]

    def highest(self, epoch: int) -> int:
        """Return the highest number accepted of an epoch, 0 when none was."""
        return self._held[epoch].highest if epoch in self._held else 0

    @property
    def due(self) -> bool:
        """Whether something is to be said."""
        return bool(self._unsaid)

    def held(self) -> dict[int, tuple[int, tuple[tuple[int, int], ...]]]:
        """Return the cumulative number and the ranges above it, by sender's epoch, the one last heard from last."""
        return {epoch: (numbers.cumulative, numbers.ranges) for epoch, numbers in self._held.items()}

    def restore(self, held: Mapping[int, tuple[int, Iterable[tuple[int, int]]]]) -> None:
        """Go on as the inbox of a former process, from :meth:`held`."""
        self._held = OrderedDict(
            (epoch, SequenceSet(c, [(a, b) for a, b in ranges])) for epoch, (c, ranges) in held.items()
        )

    def repeat(self) -> None:
        """Have the acknowledgement of the sender that was received last sent again, in case it was lost."""
        if self._held:
            self._unsaid.add(next(reversed(self._held)))

    def acknowledgements(self) -> list[Acknowledgement]:
        """Return what is to be said since the last call, one an epoch."""
        acks = [self._held[epoch].acknowledgement(epoch) for epoch in sorted(self._unsaid)]
        self._unsaid.clear()
        return acks


class Reorder(Generic[T]):
    """Restores the order of sequence numbers, for a receiver that needs it.

    A lost batch is sent again after newer ones. If these were processed first, its readings would be late. So newer
    batches wait here, unacknowledged, until the missing one arrives, for at most ``wait_s``: a sender that dropped a
    batch never sends it again. At most ``max_pending`` batches of a sender wait.
    """

    def __init__(self, wait_s: float, max_pending: int = 1000) -> None:
        self._wait_s, self._max_pending = wait_s, max_pending
        self._waiting: dict[int, dict[int, T]] = {}
        self._since: dict[int, float] = {}

    def __len__(self) -> int:
        """Number of batches that wait for a missing one."""
        return sum(map(len, self._waiting.values()))

    def add(self, epoch: int, sequence: int, item: T, now: float) -> bool:
        """Add a batch received at ``now`` (monotonic seconds); False if it is rejected because too many wait."""
        waiting = self._waiting.setdefault(epoch, {})
        if len(waiting) >= self._max_pending and sequence not in waiting:
            return False
        waiting.setdefault(sequence, item)
        self._since.setdefault(epoch, now)
        return True

    def ready(self, highest: Callable[[int], int], now: float) -> Iterator[tuple[int, int, T]]:
        """Yield (epoch, sequence, item) in order; ``highest`` gives the highest sequence accepted of an epoch."""
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
