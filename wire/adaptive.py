"""The model behind coder 3: each cell is coded by how far it lies from what was expected, against its own past misses.

What a series does not yet know of itself it takes from those of its kind before it, or from a profile. The spread
(mean absolute miss) and the expectation are integers with eight fractional bits; see FORMAT.md for every step.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from wire import rans
from wire.errors import FormatError
from wire.expectation import FRACTION, HALF, SLOPE, apart
from wire.rans import LOWEST, TOTAL, TOTAL_BITS
from wire.shapes import LEVELS, table

GAINS = (10, 12, 14, 16, 18, 20, 22, 24, 28, 32, 40, 48)
"""What turns a mean miss into the table's spread, in sixteenths, by number."""
MEMORIES = (20, 48, 112)
"""Cells over which the spread of the misses forgets, by number."""
TRUST = 12
"""Cells that a state counts for at most, where a group begins with that of another."""
_ENOUGH = 4
"""Cells from which the state of another column is one to begin with."""
SIBLINGS = 8
"""Series of a kind over which their first cells' expectation forgets."""
_WILD = 6
"""Times the spread that a miss counts for at most, so that one wild cell does not hide the usual ones."""
_PRIOR = 1
"""Cells that the spread taken from others counts for."""
_WELL_KNOWN = 8
"""Cells that a profile's state counts for."""
_ESCAPE_BITS = 7


@dataclass(slots=True)
class State:
    """What a series knows in one column: expectation and spread, and how many cells it comes from."""

    level: int
    spread: int
    seen: int = 0


@dataclass(slots=True)
class _Kind:
    state: State
    noise: int
    series: int = 0


class Past:
    """What groups begin with in one column: what those of their kind have shown before, or a profile says.

    ``wide`` columns are those whose first cells can be anything: the values themselves. In ``chained`` ones a group
    goes on where the last of its kind ended. ``begun`` has the states with which the same groups ended in a column that
    is alike.
    """

    def __init__(
        self,
        kinds: Sequence[int],
        known: Sequence[State] | None = None,
        late: int = 0,
        *,
        wide: bool = False,
        chained: bool = False,
        begun: Sequence[State | None] | None = None,
    ) -> None:
        self._of, self._kinds = kinds, dict[int, _Kind]()
        self._known, self._late, self._chained, self._begun = known, late if wide else 0, chained, begun
        self._first = (4096 if wide else 8) << FRACTION
        self._noise = 4 << FRACTION
        self.states: list[State | None] = [None] * len(kinds)

    def begin(self, group: int) -> tuple[int, int, int, int]:
        """Return a group's level, spread and count, and the spread to go on with after its first cell."""
        if self._known is not None:
            known = self._known[group]
            return known.level, known.spread << self._late, _WELL_KNOWN, known.spread
        kind = self._kinds.get(self._of[group])
        if kind is None:
            kind = self._kinds[self._of[group]] = _Kind(State(0, self._first), self._noise)
        begun = None if self._begun is None else self._begun[group]
        if begun is not None and begun.seen >= _ENOUGH:
            return begun.level, begun.spread, min(begun.seen, TRUST), begun.spread
        state = kind.state
        if self._chained and kind.series:
            return state.level, state.spread, min(state.seen, TRUST), state.spread
        return state.level, state.spread, 0, kind.noise

    def end(self, group: int, first: int, miss: int, state: State) -> None:
        """Learn from a group: where its first cell was, how far off that was expected, and what it knows now."""
        self.states[group] = state
        if self._known is not None:
            return
        kind = self._kinds[self._of[group]]
        kind.series += 1
        if self._chained:
            kind.state = state
        elif kind.series == 1:
            kind.state = State(first, (abs(first) >> 3) + HALF)
        else:
            kind.state.level += miss // min(kind.series, SIBLINGS)
            kind.state.spread += (abs(miss) - kind.state.spread) // min(kind.series - 1, SIBLINGS)
        if state.seen > 1:
            kind.noise = self._noise = state.spread


@dataclass(slots=True)
class Column:
    """How a column's cells are expected: how many each group has, what each lies above its expectation for reasons of
    its own row (eight fractional bits), the window of each group, and the number of the memory of its spread.
    """

    counts: Sequence[int]
    offsets: Sequence[int] | None
    windows: Sequence[int]
    memory: int


class Fit(NamedTuple):
    """How a column's cells lie about what is expected of them: shape and gain by number, and the skew."""

    shape: int
    gain: int
    skew: int


PLAIN = Fit(0, 0, 0)


@dataclass(slots=True)
class Followed:
    """The cells of a column, and what each was expected to be and with what spread (when encoding)."""

    cells: Sequence[int]
    expected: list[int]
    spreads: list[int]


def follow(  # noqa: C901 # one loop for both ways: a call a cell would cost more than all it does
    column: Column, past: Past, known: Sequence[int], decoder: rans.Decoder | None = None, how: Fit = PLAIN
) -> Followed:
    """Go through a column: of cells that are ``known`` return what to expect of each, with a ``decoder`` decode them.

    Raises FormatError for symbols that no encoder writes.
    """
    cells: list[int] = []
    expected: list[int] = []
    spreads: list[int] = []
    offsets, memory = column.offsets, MEMORIES[column.memory]
    words: list[int] = []
    state = word = end = at = offset = 0
    shape, factor, skew = how.shape, GAINS[how.gain], how.skew
    if decoder is not None:
        words, state, word, end = decoder.words, decoder.state, decoder.at, len(decoder.words)
    tables: dict[int, tuple[int, tuple[int, ...]]] = {}
    for group, count in enumerate(column.counts):
        if not count:
            continue
        level, spread, seen, noise = past.begin(group)
        slow, last, window, turn = level, 0, column.windows[group], 0
        if window > SLOPE:
            window, turn = apart(window)
        first = miss = 0
        for n in range(count):
            if offsets is not None:
                offset = offsets[at]
            at += 1
            centre = level + offset
            expected.append(centre)
            if decoder is None:
                cell = known[at - 1]
                spreads.append(spread)
            else:
                scale = spread * factor >> FRACTION
                low = 0
                if scale < 128:
                    centre += 16
                    key = LEVELS[scale] << 3 | centre >> 5 & 7
                    base = centre >> FRACTION
                else:
                    low = scale.bit_length() - 7
                    key = LEVELS[scale >> low] << 3
                    base = (centre + HALF >> FRACTION) - (1 << low >> 1)
                found = tables.get(key)
                if found is None:
                    found = tables[key] = table(shape, key >> 3, key & 7, skew)
                reach, firsts = found
                slot = state & 16383
                place = bisect_right(firsts, slot) - 1
                begin = firsts[place]
                state = (firsts[place + 1] - begin) * (state >> TOTAL_BITS) + slot - begin
                if state < LOWEST:
                    if word >= end:
                        raise FormatError("coded columns: cut short")
                    state = state << 16 | words[word]
                    word += 1
                symbol = place - reach
                if symbol > reach or low:
                    decoder.state, decoder.at = state, word
                    if symbol > reach:
                        symbol = _escaped(decoder, reach)
                    cell = base + (symbol << low | decoder.raw(low))
                    state, word = decoder.state, decoder.at
                    if not -(2**63) <= cell < 2**63:
                        raise FormatError("coded columns: a cell of more than 64 bits")
                else:
                    cell = base + symbol
                cells.append(cell)
            value = (cell << FRACTION) - offset
            away = value - level
            if n == 0:
                first, miss, last = value, away, cell
                if seen == 0:
                    level, slow, spread, seen = value, value, noise, 1
                    continue
                spread = noise
            seen += 1
            if turn < 0:
                slow += (value - slow) // (seen if seen < window else window)
                level = value + ((value - slow) * turn >> 3)
            elif turn:
                level = value + (cell - last) * turn
                last = cell
            elif window:
                level += away // (seen if seen < window else window)
            size = away if away >= 0 else -away
            if size > _WILD * spread + HALF:
                size = _WILD * spread + HALF
            spread += (size - spread) // (seen + _PRIOR if seen + _PRIOR < memory else memory)
        past.end(group, first, miss, State(level, spread, seen))
    if decoder is not None:
        decoder.state, decoder.at = state, word
    return Followed(known if decoder is None else cells, expected, spreads)


def notes(followed: Followed, how: Fit) -> list[int]:
    """Return the cells as symbols for wire.rans.encode."""
    out: list[int] = []
    shape, factor, skew = how.shape, GAINS[how.gain], how.skew
    tables: dict[int, tuple[int, tuple[int, ...]]] = {}
    for cell, centre, miss in zip(followed.cells, followed.expected, followed.spreads, strict=True):
        spread = miss * factor >> FRACTION
        low = 0
        if spread < 128:
            centre += 16
            key = LEVELS[spread] << 3 | centre >> 5 & 7
            symbol = cell - (centre >> FRACTION)
        else:
            low = spread.bit_length() - 7
            key = LEVELS[spread >> low] << 3
            rest = cell - (centre + HALF >> FRACTION) + (1 << low >> 1)
            symbol = rest >> low
        found = tables.get(key)
        if found is None:
            found = tables[key] = table(shape, key >> 3, key & 7, skew)
        reach, firsts = found
        if -reach <= symbol <= reach:
            first = firsts[symbol + reach]
            out.append(first << 15 | firsts[symbol + reach + 1] - first)
        else:
            first = firsts[-2]
            out.append(rans.note(first, TOTAL - first))
            beyond = (abs(symbol) - reach - 1) << 1 | (symbol < 0)
            size = (beyond + 1).bit_length()
            out += rans.raw(size, _ESCAPE_BITS) + rans.raw(beyond + 1 - (1 << (size - 1)), size - 1)
        if low:
            out += rans.raw(rest & ((1 << low) - 1), low)
    return out


def _escaped(decoder: rans.Decoder, reach: int) -> int:
    size = decoder.raw(_ESCAPE_BITS)
    if not 1 <= size <= 70:
        raise FormatError(f"coded columns: an escape of {size} bits")
    beyond = (1 << (size - 1)) + decoder.raw(size - 1) - 1
    distance = reach + 1 + (beyond >> 1)
    return -distance if beyond & 1 else distance
