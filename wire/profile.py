"""Profiles: series names, steps and model states that the reader knows in advance.

A profile is sent rarely and named by a version; a batch with one window of many series can refer to it and omit names
and model states. Such a batch can be decoded with exactly this profile only (else UnknownProfileError): the sender then
sends the profile again, or the batch without it.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from wire import aggregates, directory
from wire.column_writer import Writer
from wire.columns import Id
from wire.directory import Directory
from wire.errors import FormatError, ModelError
from wire.model import Aggregates, Series
from wire.model_coder.adaptive_model import State
from wire.quantization import Step
from wire.rows import Layout
from wire.varint import Cursor, number, pack_signed

COLUMNS = (Id.VALUE, Id.LOW, Id.HIGH, Id.STD, Id.SCORE)
"""Columns whose states a profile holds, in the order in which they are written."""
MAX_VERSION = 2**32 - 1
_LEVEL_BITS = 4
"""Fractional bits of a level that are dropped."""
_HIGHEST = 2**62 - 1
_UNKNOWN = State(0, 4 << 8)


@dataclass(frozen=True, slots=True)
class Profile:
    """Series of a gateway, their quantization steps, and the model states of their aggregates.

    ``version`` (0 to 2^32 - 1) identifies it among the profiles of the gateway; a profile is never changed.
    """

    version: int
    series: tuple[Series, ...]
    steps: tuple[Step, ...]
    states: Mapping[Id, tuple[State, ...]]

    def select(self, series: Sequence[Series]) -> list[int] | None:
        """Return the indexes of the series in the profile, or None if it lacks one of them."""
        indexes = {one: at for at, one in enumerate(self.series)}
        found = [indexes.get(one, -1) for one in series]
        return None if -1 in found else found

    def entries(self, indexes: Sequence[int]) -> Directory:
        """Return the directory of the series at these indexes."""
        return directory.directory([self.series[at] for at in indexes], [self.steps[at] for at in indexes])

    def known(self, indexes: Sequence[int]) -> dict[Id, list[State]]:
        """Return the model states of the series at these indexes."""
        return {column: [states[at] for at in indexes] for column, states in self.states.items()}


def learn(rows: Aggregates, version: int | None = None) -> Profile:
    """Return a profile learned from rows, such as the last ten windows of each series.

    The default ``version`` is the CRC32 of the profile's content, so that two different profiles of a gateway do not
    share a version after a clock or counter went back. Raises ModelError for a version out of range.
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
    """Return the encoded profile."""
    entries = directory.directory(profile.series, profile.steps)
    out = [number(profile.version), directory.write(entries), number(len(profile.states))]
    for column, states in profile.states.items():
        levels = np.array([state.level >> _LEVEL_BITS for state in states], np.int64)
        out += [bytes((column,)), pack_signed(levels), bytes(_to_byte(state.spread) for state in states)]
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
        if any(code >= 4 * 62 for code in spreads):
            raise FormatError("profile: a spread of more than 62 bits")
        states[Id(tag)] = tuple(
            State(level << _LEVEL_BITS, _from_byte(code)) for level, code in zip(levels.tolist(), spreads, strict=True)
        )
    if cursor.left:
        raise FormatError(f"profile: {cursor.left} bytes are left")
    return Profile(version, entries.series, entries.steps, states)


def _coarse(state: State) -> State:
    """Return the state rounded as by writing and reading."""
    level = max(-_HIGHEST, min(state.level >> _LEVEL_BITS, _HIGHEST))
    return State(level << _LEVEL_BITS, _from_byte(_to_byte(state.spread)))


def _to_byte(spread: int) -> int:
    """Return a spread as octave and quarter octave, in one byte."""
    if spread < 4:
        return max(spread, 0)
    shift = min(spread.bit_length() - 3, 60)
    return min(4 * (shift + 1) + (spread >> shift & 3), 4 * 62 - 1)


def _from_byte(code: int) -> int:
    return code if code < 4 else (4 + code % 4) << (code // 4 - 1)
