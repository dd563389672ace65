"""Entropy coder: rANS (Jarek Duda, arXiv:1311.2540) with a 32-bit state that is renormalized in 16-bit words.

Encoding runs backwards and decoding forwards, so the encoder collects symbols as (first slot, slots) out of 2^14 and
codes all of them at the end.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

from wire.errors import FormatError

TOTAL_BITS = 14
TOTAL = 1 << TOTAL_BITS
LOWEST = 1 << 16
"""Initial state of encoding and required final state of decoding."""
_SHED = 32 - TOTAL_BITS
_SLOTS = TOTAL_BITS + 1
_USUAL = 15 * TOTAL // 16
"""Slots of the most common value of exceptions."""
_SIZE_BITS = 7
_SLOTS_MASK = (1 << _SLOTS) - 1


def symbol(first: int, slots: int) -> int:
    """Return a symbol, (first slot, number of slots), packed in one integer."""
    return first << _SLOTS | slots


def raw(value: int, bits: int) -> list[int]:
    """Return ``bits`` raw bits, lowest first, as equally likely symbols."""
    symbols = []
    while bits > 0:
        size = min(bits, TOTAL_BITS)
        slots = TOTAL >> size
        symbols.append(symbol((value & ((1 << size) - 1)) * slots, slots))
        value >>= size
        bits -= size
    return symbols


def rare(gaps: Sequence[int], values: Sequence[int], usual: int, size: int) -> list[int]:
    """Return exceptions as symbols: the gap before each (Rice code with ``size`` raw bits) and its value."""
    symbols = []
    for gap, value in zip(gaps, values, strict=True):
        symbols += [symbol(TOTAL >> 1, TOTAL >> 1)] * (gap >> size) + [symbol(0, TOTAL >> 1)] + raw(gap, size)
        symbols.append(symbol(0, _USUAL) if value == usual else symbol(_USUAL, TOTAL - _USUAL))
        if value != usual:
            folded = value << 1 if value >= 0 else ~(value << 1)
            symbols += raw(folded.bit_length(), _SIZE_BITS) + raw(folded, folded.bit_length())
    return symbols


def bits(symbols: Sequence[int]) -> float:
    """Return the information content of the symbols in bits."""
    return sum(TOTAL_BITS - math.log2(one & _SLOTS_MASK) for one in symbols)


def encode(symbols: Sequence[int]) -> bytes:
    """Return the coded symbols: the final state, then the words in the order in which the decoder reads them."""
    state, words = LOWEST, []
    for one in reversed(symbols):
        slots = one & _SLOTS_MASK
        if state >= slots << _SHED:
            words.append(state & 0xFFFF)
            state >>= 16
        whole, rest = divmod(state, slots)
        state = (whole << TOTAL_BITS) + rest + (one >> _SLOTS)
    words.reverse()
    return struct.pack(f"<I{len(words)}H", state, *words)


class Decoder:
    """Decoder state; :mod:`wire.model_coder.adaptive_model` updates it in its own loop, for speed."""

    def __init__(self, data: bytes) -> None:
        if len(data) < 4 or len(data) % 2:
            raise FormatError(f"coded columns: {len(data)} bytes, must be even and at least 4")
        self.state: int
        self.state, *words = struct.unpack(f"<I{(len(data) - 4) // 2}H", data)
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
        """Return the gaps and values of exceptions; raises FormatError for a gap above ``most``."""
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
        """Decode one of two symbols, the first with ``first`` slots; return True for the second."""
        slot = self.state & (TOTAL - 1)
        second = slot >= first
        slots, begin = (TOTAL - first, first) if second else (first, 0)
        self.state = slots * (self.state >> TOTAL_BITS) + slot - begin
        if self.state < LOWEST:
            self.state = self.state << 16 | self.word()
        return second

    def word(self) -> int:
        """Return the next word; raises FormatError at the end of the data."""
        if self.at >= len(self.words):
            raise FormatError("coded columns: cut short")
        self.at += 1
        return self.words[self.at - 1]

    def consumed(self) -> float:
        """Return the bytes of information decoded since the start."""
        return 2 * self.at + 4 - math.log2(max(self.state, 1)) / 8

    def finish(self) -> None:
        """Raise FormatError unless all words are consumed and the state is the initial one."""
        if self.at != len(self.words) or self.state != LOWEST:
            raise FormatError("coded columns: the coder does not end in its initial state")
