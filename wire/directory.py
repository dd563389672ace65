"""Encoding of the directory of series: names split into stem and leaf, and shared properties listed once per kind.

Series names of a gateway have common parts (line-01.temperature, line-01.pressure, line-02.temperature). Each name is
split after its last separator; stems and leaves are listed once and each series refers to them by index. A kind is a
unit, a resolution and a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from wire.errors import FormatError, LimitError
from wire.limits import MAX_SERIES
from wire.model import Series
from wire.preset_dictionary import UNITS, WORDS
from wire.quantization import Form, Step, read_size, write_size
from wire.varint import Cursor, number, pack_signed

SEPARATORS = ".:/"
_FINEST = 4
_LISTED, _KIND_LISTED = 255, 128
_WORD_NUMBERS = {word: at for at, word in enumerate(WORDS)}
_UNIT_NUMBERS = {unit: at for at, unit in enumerate(UNITS)}


@dataclass(frozen=True, slots=True)
class Directory:
    """Series with the step and the kind of each (the kind is equal for equal unit, resolution and step)."""

    series: tuple[Series, ...]
    steps: tuple[Step, ...]
    kinds: npt.NDArray[np.int64]


def directory(series: Sequence[Series], steps: Sequence[Step]) -> Directory:
    """Return the directory of these series and steps."""
    seen: dict[tuple[str, float | None, Step], int] = {}
    kinds = [
        seen.setdefault((one.unit, one.resolution, step), len(seen)) for one, step in zip(series, steps, strict=True)
    ]
    return Directory(tuple(series), tuple(steps), np.array(kinds, np.int64))


def write(entries: Directory) -> bytes:
    """Return the encoded directory."""
    return _written(entries.series, entries.steps)


@lru_cache(maxsize=16)
def _written(series: tuple[Series, ...], steps: tuple[Step, ...]) -> bytes:
    """Return the encoded directory; cached, because a gateway's batches mostly have the same series."""
    entries = directory(series, steps)
    cuts = [_cut(series.name) for series in entries.series]
    stems, stem_of = _unique([stem for stem, _ in cuts])
    leaves, leaf_of = _unique([leaf for _, leaf in cuts])
    first_of = np.unique(entries.kinds, return_index=True)[1]
    kinds = [_kind(entries.series[at], entries.steps[at]) for at in first_of.tolist()]
    return b"".join(
        (
            number(len(entries.series)),
            _words(stems),
            _words(leaves),
            number(len(kinds)),
            *kinds,
            _index_differences(stem_of),
            _index_differences(leaf_of),
            _index_differences(entries.kinds),
        )
    )


def read(cursor: Cursor) -> Directory:
    """Decode a directory; raises DecodeError (or ModelError for a name that the model does not allow)."""
    count = cursor.number("series")
    if count > MAX_SERIES:
        raise LimitError(f"{count} series, at most {MAX_SERIES}")
    stems, leaves = _read_words(cursor, "stems"), _read_words(cursor, "leaves")
    size = cursor.number("kinds")
    if size > MAX_SERIES:
        raise LimitError(f"{size} kinds, at most {MAX_SERIES}")
    kinds = [_read_kind(cursor) for _ in range(size)]
    if len(set(kinds)) < size:
        raise FormatError("kinds: one is listed twice")
    stem_of, leaf_of = (
        _read_indexes(cursor, count, len(stems), "stem"),
        _read_indexes(cursor, count, len(leaves), "leaf"),
    )
    kind_of = _read_indexes(cursor, count, size, "kind")
    series = tuple(
        Series(stems[stem] + leaves[leaf], kinds[kind][0], kinds[kind][1])
        for stem, leaf, kind in zip(stem_of.tolist(), leaf_of.tolist(), kind_of.tolist(), strict=True)
    )
    return Directory(series, tuple(kinds[kind][2] for kind in kind_of.tolist()), kind_of)


def _cut(name: str) -> tuple[str, str]:
    at = max(name.rfind(separator) for separator in SEPARATORS) + 1
    return name[:at], name[at:]


def _unique(words: Sequence[str]) -> tuple[list[str], npt.NDArray[np.int64]]:
    seen: dict[str, int] = {}
    indexes = [seen.setdefault(word, len(seen)) for word in words]
    return list(seen), np.array(indexes, np.int64)


def _words(words: Sequence[str]) -> bytes:
    """Return words as (length of the prefix shared with the previous one, new bytes), or as index of a listed word."""
    out, before = [number(len(words))], b""
    for word in words:
        data, shared = word.encode(), 0
        if data in _WORD_NUMBERS:
            out.append(bytes((_LISTED, _WORD_NUMBERS[data])))
            before = data
            continue
        while shared < min(len(data), len(before), _LISTED - 1) and data[shared] == before[shared]:
            shared += 1
        out.append(bytes((shared, len(data) - shared)) + data[shared:])
        before = data
    return b"".join(out)


def _read_words(cursor: Cursor, field: str) -> list[str]:
    count = cursor.number(field)
    if count > MAX_SERIES:
        raise LimitError(f"{count} {field}, at most {MAX_SERIES}")
    words, before = [], b""
    for _ in range(count):
        shared, new = cursor.take(2, field)
        if shared == _LISTED:
            if new >= len(WORDS):
                raise FormatError(f"{field}: word {new} of {len(WORDS)}")
            before = WORDS[new]
            words.append(before.decode())
            continue
        if shared > len(before):
            raise FormatError(f"{field}: {shared} bytes shared with a word of {len(before)}")
        before = before[:shared] + cursor.take(new, field)
        try:
            words.append(before.decode())
        except UnicodeDecodeError as error:
            raise FormatError(f"{field}: not UTF-8") from error
    return words


def _kind(series: Series, step: Step) -> bytes:
    if step.form is Form.RESOLUTION and (listed := _UNIT_NUMBERS.get((series.unit, series.resolution))) is not None:
        return bytes((_KIND_LISTED + listed,))
    unit = series.unit.encode()
    found = b"" if step.form in (Form.RESOLUTION, Form.BITS) else write_size(step.size) + bytes((step.finer,))
    return bytes((len(unit),)) + unit + write_size(series.resolution) + bytes((step.form,)) + found


def _read_kind(cursor: Cursor) -> tuple[str, float | None, Step]:
    length = cursor.byte("unit")
    if length >= _KIND_LISTED:
        if length - _KIND_LISTED >= len(UNITS):
            raise FormatError(f"unit {length - _KIND_LISTED} of {len(UNITS)}")
        unit, size = UNITS[length - _KIND_LISTED]
        return unit, size, Step(Form.RESOLUTION, size)
    unit = cursor.text(length, "unit")
    resolution = read_size(cursor, "resolution")
    tag = cursor.byte("form")
    if tag == Form.BITS:
        return unit, resolution, Step(Form.BITS, 1.0)
    if tag == Form.RESOLUTION and resolution is not None:
        return unit, resolution, Step(Form.RESOLUTION, resolution)
    if tag not in (Form.FOUND, Form.SINGLE):
        raise FormatError(f"form {tag} of a series with resolution {resolution}")
    found, finer = read_size(cursor, "step"), cursor.byte("finer")
    if found is None or finer > _FINEST:
        raise FormatError(f"step {found}, finer {finer}")
    return unit, resolution, Step(Form(tag), found, finer)


def _index_differences(indexes: npt.NDArray[np.int64]) -> bytes:
    return pack_signed(np.diff(indexes, prepend=np.int64(0)))


def _read_indexes(cursor: Cursor, count: int, limit: int, field: str) -> npt.NDArray[np.int64]:
    indexes = np.cumsum(cursor.signed_column(count, field))
    if count and (int(indexes.min()) < 0 or int(indexes.max()) >= limit):
        raise FormatError(f"{field} of a series outside the {limit} listed")
    return indexes
