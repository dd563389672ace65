"""The entropy coder: rANS (Jarek Duda, arXiv:1311.2540), a state of 32 bits that sheds words of 16.

Coding runs backwards and decoding forwards, so a symbol is noted as (first slot, slots) of a total of 2^14 and all are
coded at the end.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

from wire.errors import FormatError

TOTAL_BITS = 14
TOTAL = 1 << TOTAL_BITS
LOWEST = 1 << 16
"""The state with which coding begins and decoding must end."""
_SHED = 32 - TOTAL_BITS
_SLOTS = TOTAL_BITS + 1
_USUAL = 15 * TOTAL // 16
"""Slots of an exception's usual value."""
_SIZE_BITS = 7
_SLOTS_MASK = (1 << _SLOTS) - 1


def note(first: int, slots: int) -> int:
    """Return a symbol as one number."""
    return first << _SLOTS | slots


def raw(value: int, bits: int) -> list[int]:
    """Return ``bits`` bits, lowest first, as symbols that are all alike likely."""
    notes = []
    while bits > 0:
        size = min(bits, TOTAL_BITS)
        slots = TOTAL >> size
        notes.append(note((value & ((1 << size) - 1)) * slots, slots))
        value >>= size
        bits -= size
    return notes


def rare(gaps: Sequence[int], values: Sequence[int], usual: int, size: int) -> list[int]:
    """Return exceptions as symbols: the gap before each (Rice's code with ``size`` raw bits), and its value."""
    notes = []
    for gap, value in zip(gaps, values, strict=True):
        notes += [note(TOTAL >> 1, TOTAL >> 1)] * (gap >> size) + [note(0, TOTAL >> 1)] + raw(gap, size)
        notes.append(note(0, _USUAL) if value == usual else note(_USUAL, TOTAL - _USUAL))
        if value != usual:
            folded = value << 1 if value >= 0 else ~(value << 1)
            notes += raw(folded.bit_length(), _SIZE_BITS) + raw(folded, folded.bit_length())
    return notes


def bits(notes: Sequence[int]) -> float:
    """Return what the symbols take."""
    return sum(TOTAL_BITS - math.log2(one & _SLOTS_MASK) for one in notes)


def encode(notes: Sequence[int]) -> bytes:
    """Return the symbols as bytes: the last state, and the words in the order in which decoding takes them."""
    state, words = LOWEST, []
    for one in reversed(notes):
        slots = one & _SLOTS_MASK
        if state >= slots << _SHED:
            words.append(state & 0xFFFF)
            state >>= 16
        whole, rest = divmod(state, slots)
        state = (whole << TOTAL_BITS) + rest + (one >> _SLOTS)
    words.reverse()
    return struct.pack(f"<I{len(words)}H", state, *words)


class Decoder:
    """The state while decoding; the models take it apart in their own loops (see wire.adaptive) for speed."""

    def __init__(self, data: bytes) -> None:
        if len(data) < 4 or len(data) % 2:
            raise FormatError(f"coded columns: {len(data)} bytes, must be even and at least 4")
        self.state: int
        self.state, *words = struct.unpack(f"<I{(len(data) - 4) // 2}H", data)
        # Past the end zeros are read: the check at the end finds out, and the loops need none.
        self.words: list[int] = words
        self.at = 0

    def raw(self, bits: int) -> int:
        """Return ``bits`` bits, lowest first."""
        value = done = 0
        while done < bits:
            size = min(bits - done, TOTAL_BITS)
            shift = TOTAL_BITS - size
            slot = self.state & (TOTAL - 1)
            value |= slot >> shift << done
            self.state = (self.state >> TOTAL_BITS << shift) + (slot & ((1 << shift) - 1))
            if self.state < LOWEST:
                self.state = self.state << 16 | self.word()
            done += size
        return value

    def rare(self, count: int, usual: int, size: int, most: int) -> tuple[list[int], list[int]]:
        """Return the gaps and values of exceptions; no gap is above ``most``."""
        gaps, values = [], []
        for _ in range(count):
            gap = 0
            while self._one_of_two(TOTAL >> 1):
                gap += 1
                if gap << size > most:
                    raise FormatError("coded columns: an exception beyond the rows")
            gaps.append(gap << size | self.raw(size))
            folded = self.raw(self.raw(_SIZE_BITS)) if self._one_of_two(_USUAL) else None
            if folded is not None and folded >= 2**64:
                raise FormatError("coded columns: an exception of more than 64 bits")
            values.append(usual if folded is None else folded >> 1 ^ -(folded & 1))
        return gaps, values

    def _one_of_two(self, first: int) -> bool:
        """Take a symbol of two, the first of which has so many slots, and return whether it is the second."""
        slot = self.state & (TOTAL - 1)
        second = slot >= first
        slots, begin = (TOTAL - first, first) if second else (first, 0)
        self.state = slots * (self.state >> TOTAL_BITS) + slot - begin
        if self.state < LOWEST:
            self.state = self.state << 16 | self.word()
        return second

    def word(self) -> int:
        """Return the next word; raises FormatError when there is none."""
        if self.at >= len(self.words):
            raise FormatError("coded columns: cut short")
        self.at += 1
        return self.words[self.at - 1]

    def spent(self) -> float:
        """Return how many bytes of information have been taken since the beginning."""
        return 2 * self.at + 4 - math.log2(max(self.state, 1)) / 8

    def finish(self) -> None:
        """Raise FormatError unless everything has been taken and the state is that of the beginning."""
        if self.at != len(self.words) or self.state != LOWEST:
            raise FormatError("coded columns: the coder does not end where it should")
