"""Columns of a batch: their ids, their modes, and the directory of columns; without NumPy.

A column is a sequence of integers, series after series. A column whose cells all equal their prediction is omitted; one
with few exceptions lists these; any other is written whole, as bytes for the byte coders or as symbols of the model
(coder 3).
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from enum import IntEnum

from wire.cursor import Cursor
from wire.errors import FormatError, LimitError

OPTIONAL = 0x80
"""Flag in a column's id: a reader that does not know the column may skip it."""
EACH = 255
"""Marker in place of a window: one window per series follows."""
MAX_COLUMNS = 64


class Id(IntEnum):
    """Ids of the columns."""

    TIME = 1
    WIDTH = 2
    COUNT = 3
    VALUE = 4
    LOW = 5
    HIGH = 6
    STD = 7
    SCORE = 8
    QUALITY = 9
    SCORED = 10
    PATCHES = 11
    ORDER = 12
    REST = 13
    REVISION = 14
    UNCERTAIN = 15
    BAD = 16


OF_READINGS = frozenset({Id.TIME, Id.VALUE, Id.QUALITY, Id.PATCHES, Id.ORDER, Id.REST})
OF_AGGREGATES = frozenset(Id) - {Id.QUALITY}
ORDERED = frozenset({Id.VALUE, Id.LOW, Id.HIGH, Id.STD, Id.SCORE})
"""Columns whose cells follow the series order of ORDER when they are bytes."""
GROUPED = frozenset({Id.SCORE})
"""Columns in which a series at rest (see REST) is a separate group."""


class Mode(IntEnum):
    """Encoding of a column's cells."""

    FEW = 0
    """Exceptions: for each the number of predicted cells before it, and its residual."""
    SIGNED = 1
    UNSIGNED = 2
    MODELLED = 3
    """Symbols of the model, after the head; the payload holds the model's parameters."""
    BYTES = 4
    """A layout specific to the column."""
    RARE = 5
    """Exceptions as in FEW, as symbols of the model."""


@dataclass(slots=True)
class Entry:
    """A column as listed in the directory; ``size`` is its size there in bytes."""

    mode: int
    payload: bytes
    size: int


def read_entries(cursor: Cursor, own: Set[Id]) -> dict[int, Entry]:
    """Read the directory of columns and skip unknown optional ones; ``own`` are the columns of the batch's kind.

    Raises FormatError for a required column that is unknown or of another kind and for a duplicate, and LimitError for
    too many columns.
    """
    count = cursor.number("columns")
    if count > MAX_COLUMNS:
        raise LimitError(f"{count} columns, at most {MAX_COLUMNS}")
    entries: dict[int, Entry] = {}
    for _ in range(count):
        before = cursor.at
        tag, mode = cursor.take(2, "column")
        payload = cursor.take(cursor.number("column size"), f"column {tag}")
        column = tag & ~OPTIONAL
        if column not in Id.__members__.values():
            if tag & OPTIONAL and mode not in (Mode.MODELLED, Mode.RARE):
                continue
            raise FormatError(f"column {column}: unknown, and not optional")
        if column in entries or Id(column) not in own:
            raise FormatError(f"column {column}: {'twice' if column in entries else 'not one of this kind'}")
        entries[column] = Entry(mode, payload, cursor.at - before)
    return entries
