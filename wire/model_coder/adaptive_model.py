"""Adaptive model of coder 3: code each cell by its distance from a prediction, scaled by the mean past error.

A group of cells (usually one series) has a level (the prediction) and a spread (the mean absolute error), both integers
with eight fractional bits. A new group starts from earlier groups of its kind or from a profile. FORMAT.md specifies
every step.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from wire.errors import FormatError
from wire.model_coder import rans
from wire.model_coder.distributions import LEVELS, table
from wire.model_coder.prediction import FRACTION, HALF, SLOPE, split_window
from wire.model_coder.rans import LOWEST, TOTAL, TOTAL_BITS

GAINS = (10, 12, 14, 16, 18, 20, 22, 24, 28, 32, 40, 48)
"""Factors from the mean absolute error to the spread of the distribution table, in sixteenths, by index."""
MEMORIES = (20, 48, 112)
"""Time constants of the spread, in cells, by index."""
MAX_INHERITED_WEIGHT = 12
"""Maximum weight, in cells, of a state inherited from another group."""
_MIN_INHERITED = 4
"""Minimum number of cells behind a state of another column before a group may start from it."""
SIBLINGS = 8
"""Time constant, in series, of a kind's prediction for first cells."""
_OUTLIER = 6
"""Limit of an error, in spreads, when it updates the spread: one outlier must not hide normal cells."""
_PRIOR = 1
"""Weight, in cells, of an inherited spread."""
_PROFILE_WEIGHT = 8
"""Weight, in cells, of a state from a profile."""
_ESCAPE_BITS = 7


@dataclass(slots=True)
class State:
    """Prediction and spread of one group in one column, and the number of cells they come from."""

    level: int
    spread: int
    seen: int = 0


@dataclass(slots=True)
class _Kind:
    state: State
    noise: int
    series: int = 0


class GroupStarts:
    """Initial states of the groups of one column, learned from earlier groups of the same kind or from a profile.

    ``kinds`` gives the kind of each group; ``known`` its state in a profile, whose spread is shifted left by ``late``.
    ``wide`` columns have unpredictable first cells (the values themselves). In ``chained`` columns a group continues
    with the final state of the previous group of its kind. ``begun`` gives the final states of the same groups in a
    related column.
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

    def start(self, group: int) -> tuple[int, int, int, int]:
        """Return a group's initial level, spread and count, and the spread to use after its first cell."""
        if self._known is not None:
            known = self._known[group]
            return known.level, known.spread << self._late, _PROFILE_WEIGHT, known.spread
        kind = self._kinds.get(self._of[group])
        if kind is None:
            kind = self._kinds[self._of[group]] = _Kind(State(0, self._first), self._noise)
        begun = None if self._begun is None else self._begun[group]
        if begun is not None and begun.seen >= _MIN_INHERITED:
            return begun.level, begun.spread, min(begun.seen, MAX_INHERITED_WEIGHT), begun.spread
        state = kind.state
        if self._chained and kind.series:
            return state.level, state.spread, min(state.seen, MAX_INHERITED_WEIGHT), state.spread
        return state.level, state.spread, 0, kind.noise

    def learn(self, group: int, first: int, error: int, state: State) -> None:
        """Update the kind with a finished group: its first value, the error of that prediction, its final state."""
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
            kind.state.level += error // min(kind.series, SIBLINGS)
            kind.state.spread += (abs(error) - kind.state.spread) // min(kind.series - 1, SIBLINGS)
        if state.seen > 1:
            kind.noise = self._noise = state.spread


@dataclass(slots=True)
class Column:
    """Prediction settings of one column.

    ``counts``: cells of each group. ``offsets``: known offset of each cell from its prediction, derived from other
    columns of its row (eight fractional bits). ``windows``: prediction window of each group. ``memory``: index into
    :data:`MEMORIES`.
    """

    counts: Sequence[int]
    offsets: Sequence[int] | None
    windows: Sequence[int]
    memory: int


class ModelParameters(NamedTuple):
    """Parameters of a column's distribution: indexes of shape and gain, and the skew."""

    shape: int
    gain: int
    skew: int


DEFAULT_PARAMETERS = ModelParameters(0, 0, 0)


@dataclass(slots=True)
class PredictedColumn:
    """Cells of a column with the prediction of each and, when encoding, the spread at that cell."""

    cells: Sequence[int]
    expected: list[int]
    spreads: list[int]


def run_model(  # noqa: C901 # one loop for both directions: a function call per cell would double the time
    column: Column,
    starts: GroupStarts,
    known: Sequence[int],
    decoder: rans.Decoder | None = None,
    parameters: ModelParameters = DEFAULT_PARAMETERS,
) -> PredictedColumn:
    """Run the model over a column: predict the ``known`` cells, or decode them when a ``decoder`` is given.

    Raises FormatError for symbols that no encoder writes.
    """
    cells: list[int] = []
    expected: list[int] = []
    spreads: list[int] = []
    offsets, memory = column.offsets, MEMORIES[column.memory]
    words: list[int] = []
    state = word = end = at = offset = 0
    shape, factor, skew = parameters.shape, GAINS[parameters.gain], parameters.skew
    if decoder is not None:
        words, state, word, end = decoder.words, decoder.state, decoder.at, len(decoder.words)
    tables: dict[int, tuple[int, tuple[int, ...]]] = {}
    for group, count in enumerate(column.counts):
        if not count:
            continue
        level, spread, seen, noise = starts.start(group)
        slow, last, window, turn = level, 0, column.windows[group], 0
        if window > SLOPE:
            window, turn = split_window(window)
        first = first_error = 0
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
                index = bisect_right(firsts, slot) - 1
                begin = firsts[index]
                state = (firsts[index + 1] - begin) * (state >> TOTAL_BITS) + slot - begin
                if state < LOWEST:
                    if word >= end:
                        raise FormatError("coded columns: cut short")
                    state = state << 16 | words[word]
                    word += 1
                symbol = index - reach
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
                first, first_error, last = value, away, cell
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
            if size > _OUTLIER * spread + HALF:
                size = _OUTLIER * spread + HALF
            spread += (size - spread) // (seen + _PRIOR if seen + _PRIOR < memory else memory)
        starts.learn(group, first, first_error, State(level, spread, seen))
    if decoder is not None:
        decoder.state, decoder.at = state, word
    return PredictedColumn(known if decoder is None else cells, expected, spreads)


def symbols(column: PredictedColumn, parameters: ModelParameters) -> list[int]:
    """Return the cells as symbols for :func:`wire.model_coder.rans.encode`."""
    out: list[int] = []
    shape, factor, skew = parameters.shape, GAINS[parameters.gain], parameters.skew
    tables: dict[int, tuple[int, tuple[int, ...]]] = {}
    for cell, centre, error in zip(column.cells, column.expected, column.spreads, strict=True):
        spread = error * factor >> FRACTION
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
            out.append(rans.symbol(first, TOTAL - first))
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
