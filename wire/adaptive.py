"""The model behind coder 3: each cell is coded by how far it lies from what was expected, against its own past misses.

What a series does not yet know of itself it takes from those of its kind before it, or from a profile. The spread
(mean absolute miss) and the expectation are integers with eight fractional bits; see FORMAT.md for every step.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wire import rans
from wire.errors import FormatError
from wire.expectation import FRACTION, HALF, SLOPE
from wire.model import FloatArray
from wire.rans import LOWEST, TOTAL, TOTAL_BITS
from wire.shapes import LEVELS, SHAPES, table

GAINS = (10, 12, 14, 16, 18, 20, 22, 24, 28, 32, 40, 48)
"""What turns a mean miss into the table's spread, in sixteenths, by number."""
MEMORY = 20
"""Cells over which the spread of the misses forgets."""
SIBLINGS = 8
"""Series of a kind over which their first cells' expectation forgets."""
_WILD = 6
"""Times the spread that a miss counts for at most, so that one wild cell does not hide the usual ones."""
_PRIOR = 1
"""Cells that the spread taken from others counts for."""
_WELL_KNOWN = 8
"""Cells that a profile's state counts for."""
_ESCAPE_BITS = 7
_LOOK, _USUAL_SHAPE = 500, 3
"""Cells that a column's parameters are chosen by, about."""


@dataclass(slots=True)
class State:
    """What a series knows in one column: expectation and spread, and how many cells it comes from."""

    level: int
    spread: int
    seen: int = 0


@dataclass(slots=True)
class _Kind:
    level: int
    spread: int
    noise: int
    series: int = 0


class Past:
    """What the series of each kind have shown in one column, and what a profile says of a series.

    ``wide`` columns are those whose first cells can be anything: the values themselves.
    """

    def __init__(
        self, kinds: Sequence[int], known: Sequence[State] | None = None, late: int = 0, wide: bool = False
    ) -> None:
        self._of, self._kinds = kinds, dict[int, _Kind]()
        self._known, self._late = known, late if wide else 0
        self._first = (4096 if wide else 8) << FRACTION
        self._noise = 4 << FRACTION
        self.states: list[State | None] = [None] * len(kinds)

    def begin(self, series: int) -> tuple[State, int]:
        """Return a series' state, and the spread to go on with after its first cell."""
        if self._known is not None:
            known = self._known[series]
            return State(known.level, known.spread << self._late, _WELL_KNOWN), known.spread
        kind = self._kinds.get(self._of[series])
        if kind is None:
            kind = self._kinds[self._of[series]] = _Kind(0, self._first, self._noise)
        return State(kind.level, kind.spread), kind.noise

    def end(self, series: int, first: int, miss: int, state: State) -> None:
        """Learn from a series: where its first cell was, how far off that was expected, and what it knows now."""
        self.states[series] = state
        if self._known is not None:
            return
        kind = self._kinds[self._of[series]]
        if kind.series == 0:
            kind.level, kind.spread = first, (abs(first) >> 3) + HALF
        else:
            share = min(kind.series + 1, SIBLINGS)
            kind.level += miss // share
            kind.spread += (abs(miss) - kind.spread) // min(kind.series, SIBLINGS)
        kind.series += 1
        if state.seen > 1:
            kind.noise = self._noise = state.spread


@dataclass(slots=True)
class Column:
    """Cells to be coded: how many each series has, what each lies above its expectation for reasons of its own row
    (eight fractional bits), and the window of each series.
    """

    counts: Sequence[int]
    offsets: Sequence[int] | None
    windows: Sequence[int]


def follow(cells: Sequence[int], column: Column, past: Past) -> tuple[list[int], list[int]]:
    """Return what each cell is expected to be and with what spread."""
    expected: list[int] = []
    spreads: list[int] = []
    at = 0
    offsets = column.offsets
    for series, count in enumerate(column.counts):
        if not count:
            continue
        state, noise = past.begin(series)
        level, spread, seen, window = state.level, state.spread, state.seen, column.windows[series]
        first = miss = last = 0
        for n in range(count):
            cell = cells[at]
            offset = offsets[at] if offsets is not None else 0
            at += 1
            expected.append(level + offset)
            spreads.append(spread)
            away = (cell << FRACTION) - level - offset
            size = away if away >= 0 else -away
            if n == 0:
                first, miss, last = level + away, away, cell
                if seen == 0:
                    level, spread, seen = first, noise, 1
                    continue
                spread = noise
            if window > SLOPE:
                level = (cell << FRACTION) - offset + (cell - last) * ((window - SLOPE) << (FRACTION - 3))
                last = cell
                seen += 1
            else:
                seen += 1
                level += away // (seen if seen < window else window) if window else 0
            weight = seen + _PRIOR
            if size > _WILD * spread + HALF:
                size = _WILD * spread + HALF
            spread += (size - spread) // (weight if weight < MEMORY else MEMORY)
        past.end(series, first, miss, State(level, spread, seen))
    return expected, spreads


def fit(cells: Sequence[int], expected: Sequence[int], spreads: Sequence[int]) -> tuple[int, int]:
    """Return (shape, gain), by number, that would code the cells in the fewest bits, approximately."""
    # Golden steps: spread out evenly, and never in step with where series begin.
    places = range(len(cells)) if len(cells) <= _LOOK else [i * 40503 % 65536 * len(cells) >> 16 for i in range(_LOOK)]
    away = np.abs(np.array([(cells[at] << FRACTION) - expected[at] for at in places], np.float64)) / 256
    spread = np.array([spreads[at] for at in places], np.float64) / 256
    shape, gain = _USUAL_SHAPE, 0
    for _ in range(2):
        gain = int(np.argmin([_cost(away, spread, shape, number) for number in range(len(GAINS))]))
        shape = int(np.argmin([_cost(away, spread, number, gain) for number in range(len(SHAPES))]))
    return shape, gain


def _cost(away: FloatArray, spread: FloatArray, shape: int, gain: int) -> float:
    scale = np.maximum(spread * (GAINS[gain] / 16), 0.3)
    tails = SHAPES[shape] * np.log1p((away / scale) ** 2 / (2 * SHAPES[shape] - 1))
    return float((np.log(scale) + tails).sum()) + len(away) * _NORMS[shape]


def _norm(power: int) -> float:
    grid = np.arange(-400, 400, 0.01)
    return float(np.log(((1 + grid**2 / (2 * power - 1)) ** -power).sum() * 0.01))


_NORMS = tuple(_norm(power) for power in SHAPES)


def notes(cells: Sequence[int], expected: Sequence[int], spreads: Sequence[int], shape: int, gain: int) -> list[int]:
    """Return the cells as symbols for wire.rans.encode."""
    out: list[int] = []
    factor = GAINS[gain]
    tables: dict[int, tuple[int, tuple[int, ...]]] = {}
    for cell, centre, miss in zip(cells, expected, spreads, strict=True):
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
            found = tables[key] = table(shape, key >> 3, key & 7)
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


def decode(  # noqa: C901 # one loop: a call a cell would cost more than all it does
    decoder: rans.Decoder, column: Column, past: Past, shape: int, gain: int
) -> list[int]:
    """Return the cells; raises FormatError for what no encoder writes."""
    cells: list[int] = []
    offsets, words, factor = column.offsets, decoder.words, GAINS[gain]
    state, word, end = decoder.state, decoder.at, len(decoder.words)
    tables: dict[int, tuple[int, tuple[int, ...]]] = {}
    at = 0
    for series, count in enumerate(column.counts):
        if not count:
            continue
        known, noise = past.begin(series)
        level, spread, seen, window = known.level, known.spread, known.seen, column.windows[series]
        first = miss = last = 0
        for n in range(count):
            offset = offsets[at] if offsets is not None else 0
            at += 1
            centre = level + offset
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
                found = tables[key] = table(shape, key >> 3, key & 7)
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
            away = (cell << FRACTION) - level - offset
            size = away if away >= 0 else -away
            if n == 0:
                first, miss, last = level + away, away, cell
                if seen == 0:
                    level, spread, seen = first, noise, 1
                    continue
                spread = noise
            if window > SLOPE:
                level = (cell << FRACTION) - offset + (cell - last) * ((window - SLOPE) << (FRACTION - 3))
                last = cell
                seen += 1
            else:
                seen += 1
                level += away // (seen if seen < window else window) if window else 0
            weight = seen + _PRIOR
            if size > _WILD * spread + HALF:
                size = _WILD * spread + HALF
            spread += (size - spread) // (weight if weight < MEMORY else MEMORY)
        past.end(series, first, miss, State(level, spread, seen))
    decoder.state, decoder.at = state, word
    return cells


def _escaped(decoder: rans.Decoder, reach: int) -> int:
    size = decoder.raw(_ESCAPE_BITS)
    if not 1 <= size <= 70:
        raise FormatError(f"coded columns: an escape of {size} bits")
    beyond = (1 << (size - 1)) + decoder.raw(size - 1) - 1
    distance = reach + 1 + (beyond >> 1)
    return -distance if beyond & 1 else distance
