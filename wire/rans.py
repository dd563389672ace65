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
