"""What the reader knows of series before a batch comes: sent rarely, named by a version, so that a batch of one window
of many series need say neither their names nor what to expect of them.

A batch that names a profile is read with that very one, or not at all (UnknownProfileError): the sender then sends the
profile again, or the batch without it.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from wire import aggregates, directory
from wire.adaptive import State
from wire.columns import Id
from wire.directory import Directory
from wire.errors import FormatError, ModelError
from wire.model import Aggregates, Series
from wire.rows import Layout
from wire.steps import Step
from wire.varint import Cursor, number, pack_signed
from wire.writing import Writer

COLUMNS = (Id.VALUE, Id.LOW, Id.HIGH, Id.STD, Id.SCORE)
"""The columns of which a profile has states, in the order in which they are written."""
MAX_VERSION = 2**32 - 1
_LEVEL_BITS = 4
"""Fractional bits of a level that are left out."""
_HIGHEST = 2**62 - 1
_UNKNOWN = State(0, 4 << 8)


@dataclass(frozen=True, slots=True)
class Profile:
    """The series of a gateway, how their values are counted, and what their aggregates have been like.

    ``version`` (0 to 2^32 - 1) names it among the profiles of the gateway; a profile never changes under its version.
    """

    version: int
    series: tuple[Series, ...]
    steps: tuple[Step, ...]
    states: Mapping[Id, tuple[State, ...]]

    def select(self, series: Sequence[Series]) -> list[int] | None:
        """Return the places of series in the profile, None when it lacks one."""
        places = {one: at for at, one in enumerate(self.series)}
        found = [places.get(one, -1) for one in series]
        return None if -1 in found else found

    def entries(self, places: Sequence[int]) -> Directory:
        """Return the directory of the series in those places."""
        return directory.directory([self.series[at] for at in places], [self.steps[at] for at in places])

    def known(self, places: Sequence[int]) -> dict[Id, list[State]]:
        """Return the states of the series in those places."""
        return {column: [states[at] for at in places] for column, states in self.states.items()}


def learn(rows: Aggregates, version: int | None = None) -> Profile:
    """Return the profile that rows show, such as the last ten windows of each series.

    Without a ``version`` it gets the CRC32 of what it says, so that no two profiles of a gateway share one by a clock
    or a counter that went back. Raises ModelError for a version out of range.
    """
    if version is not None and not 0 <= version <= MAX_VERSION:
        raise ModelError(f"profile version {version}: 0 to {MAX_VERSION}")
    layout = Layout(rows.series_index, rows.start_ms, len(rows.series))
    entries = directory.directory(rows.series, aggregates.steps(rows, layout))
    writer = Writer(entries.kinds.tolist(), modelled=True)
    aggregates.write(rows, layout, entries.steps, writer)
    states = {}
    for column in COLUMNS:
        found = writer.states.get(column, [])
        shown = found[::2] if len(found) == 2 * len(rows.series) else found
        if shown:
            states[column] = tuple(_coarse(state or _UNKNOWN) for state in shown)
    learned = Profile(version or 0, entries.series, entries.steps, states)
    return learned if version is not None else replace(learned, version=zlib.crc32(write(learned)))


def write(profile: Profile) -> bytes:
    """Return a profile as bytes."""
    entries = directory.directory(profile.series, profile.steps)
    out = [number(profile.version), directory.write(entries), number(len(profile.states))]
    for column, states in profile.states.items():
        levels = np.array([state.level >> _LEVEL_BITS for state in states], np.int64)
        out += [bytes((column,)), pack_signed(levels), bytes(_short(state.spread) for state in states)]
    return b"".join(out)


def read(content: bytes) -> Profile:
    """Read a profile; raises DecodeError, or ModelError for series that the model does not allow."""
    cursor = Cursor(content)
    version = cursor.number("version")
    if version > MAX_VERSION:
        raise FormatError(f"profile version {version}, at most {MAX_VERSION}")
    entries = directory.read(cursor)
    states: dict[Id, tuple[State, ...]] = {}
    for _ in range(min(cursor.number("states"), len(COLUMNS) + 1)):
        tag = cursor.byte("column")
        if tag not in COLUMNS or Id(tag) in states:
            raise FormatError(f"profile: states of column {tag}")
        levels = cursor.signed_column(len(entries.series), "levels")
        if len(levels) and int(np.abs(np.clip(levels, -_HIGHEST - 1, None)).max()) > _HIGHEST:
            raise FormatError("profile: a level of more than 62 bits")
        spreads = cursor.take(len(entries.series), "spreads")
        if any(short >= 4 * 62 for short in spreads):
            raise FormatError("profile: a spread of more than 62 bits")
        states[Id(tag)] = tuple(
            State(level << _LEVEL_BITS, _long(short)) for level, short in zip(levels.tolist(), spreads, strict=True)
        )
    if cursor.left:
        raise FormatError(f"profile: {cursor.left} bytes are left")
    return Profile(version, entries.series, entries.steps, states)


def _coarse(state: State) -> State:
    """Return the state as it is after writing and reading."""
    level = max(-_HIGHEST, min(state.level >> _LEVEL_BITS, _HIGHEST))
    return State(level << _LEVEL_BITS, _long(_short(state.spread)))


def _short(spread: int) -> int:
    """Return a spread as octave and quarter of it, in one byte."""
    if spread < 4:
        return max(spread, 0)
    shift = min(spread.bit_length() - 3, 60)
    return min(4 * (shift + 1) + (spread >> shift & 3), 4 * 62 - 1)


def _long(short: int) -> int:
    return short if short < 4 else (4 + short % 4) << (short // 4 - 1)
