"""Acknowledgement of the batches that a receiver has stored durably, in the form of TCP's SACK (RFC 2018).

All three hops use it: aggregator to sensor reader, forwarder to aggregator, cloud to forwarder.
"""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from wire.errors import FormatError, ModelError
from wire.names import MAX_SEQUENCE

MAX_RANGES = 64
MAX_UNKNOWN = 16
_MAX_VERSION = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Batches 1..``cumulative`` of ``epoch`` are stored, and those in the inclusive, ascending ``ranges`` above it.

    ``unknown`` lists versions of profiles that batches need and the receiver lacks: those batches are not stored and
    must be sent again, after the profile or without it. (A sender without profiles ignores the key.)
    """

    epoch: int
    cumulative: int
    ranges: tuple[tuple[int, int], ...] = ()
    unknown: tuple[int, ...] = ()

    def covers(self, sequence: int) -> bool:
        """Return whether ``sequence`` is acknowledged."""
        return sequence <= self.cumulative or any(first <= sequence <= last for first, last in self.ranges)

    def encode(self) -> bytes:
        """Return the acknowledgement as JSON bytes, with at most the newest ``MAX_RANGES`` ranges."""
        ranges = [list(r) for r in self.ranges[-MAX_RANGES:]]
        body = {"v": 1, "epoch": f"{self.epoch:016x}", "cumulative": self.cumulative, "ranges": ranges}
        if self.unknown:
            body["unknown_profiles"] = list(self.unknown[:MAX_UNKNOWN])
        return json.dumps(body, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode JSON bytes; unknown keys are ignored. Raises FormatError for an invalid acknowledgement."""
        try:
            body = json.loads(data)
            if body["v"] != 1:
                raise FormatError(f"acknowledgement: version {body['v']!r} is not 1")
            epoch, cumulative = int(body["epoch"], 16), body["cumulative"]
            ranges = tuple((first, last) for first, last in body["ranges"])
            unknown = tuple(body.get("unknown_profiles", ()))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise FormatError(f"acknowledgement: {type(error).__name__}: {str(error)[:200]}") from error
        numbers = [cumulative, *(n for pair in ranges for n in pair)]
        if any(type(n) is not int or not 0 <= n <= MAX_SEQUENCE for n in numbers) or not 0 <= epoch < 2**64:
            raise FormatError(f"acknowledgement: numbers must be integers from 0 to {MAX_SEQUENCE}")
        if len(ranges) > MAX_RANGES:
            raise FormatError(f"acknowledgement: {len(ranges)} ranges, at most {MAX_RANGES}")
        if len(unknown) > MAX_UNKNOWN or any(type(n) is not int or not 0 <= n <= _MAX_VERSION for n in unknown):
            raise FormatError(f"acknowledgement: unknown_profiles: at most {MAX_UNKNOWN} numbers to {_MAX_VERSION}")
        below = cumulative
        for first, last in ranges:
            if not below < first <= last:
                raise FormatError(f"acknowledgement: range {first} to {last} does not ascend above {below}")
            below = last
        return cls(epoch, cumulative, ranges, unknown)


class SequenceSet:
    """Set of received sequence numbers of one epoch: a cumulative number and the ranges above it."""

    def __init__(self, cumulative: int = 0, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._cumulative = cumulative
        self._ranges = [(int(first), int(last)) for first, last in ranges]

    @property
    def cumulative(self) -> int:
        """Highest number below which no number is missing."""
        return self._cumulative

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """Inclusive ranges above the cumulative number, ascending."""
        return tuple(self._ranges)

    @property
    def highest(self) -> int:
        """Highest number in the set, 0 if it is empty."""
        return self._ranges[-1][1] if self._ranges else self._cumulative

    def __contains__(self, sequence: int) -> bool:
        if sequence <= self._cumulative:
            return True
        at = bisect.bisect_right(self._ranges, (sequence, MAX_SEQUENCE)) - 1
        return at >= 0 and self._ranges[at][0] <= sequence <= self._ranges[at][1]

    def add(self, sequence: int) -> bool:
        """Add a number and return whether it is new; raises ModelError for one outside 1..MAX_SEQUENCE."""
        if not 1 <= sequence <= MAX_SEQUENCE:
            raise ModelError(f"sequence {sequence}: 1 to {MAX_SEQUENCE}")
        if sequence in self:
            return False
        at = bisect.bisect_left(self._ranges, (sequence, sequence))
        first = last = sequence
        if at < len(self._ranges) and self._ranges[at][0] == sequence + 1:
            last = self._ranges.pop(at)[1]
        if at > 0 and self._ranges[at - 1][1] == sequence - 1:
            first = self._ranges.pop(at - 1)[0]
            at -= 1
        if first == self._cumulative + 1:
            self._cumulative = last
        else:
            self._ranges.insert(at, (first, last))
        return True

    def missing(self) -> Iterator[tuple[int, int]]:
        """Yield the inclusive gaps between the cumulative number and the highest number."""
        below = self._cumulative
        for first, last in self._ranges:
            yield below + 1, first - 1
            below = last

    def acknowledgement(self, epoch: int) -> Acknowledgement:
        """Return the acknowledgement to send for this set."""
        return Acknowledgement(epoch, self._cumulative, self.ranges[-MAX_RANGES:])
