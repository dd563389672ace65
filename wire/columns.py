"""Columns of a batch: their ids, their modes, and helpers shared by :mod:`wire.column_writer` and
:mod:`wire.column_reader`.

A column is a sequence of integers, series after series. A column whose cells all equal their prediction is omitted; one
with few exceptions lists these; any other is written whole, as bytes for the byte coders or as symbols of the model
(coder 3).
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from wire.model_coder.prediction import FRACTION, HALF
from wire.varint import Signed

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


def gather(counts: npt.NDArray[np.int64], order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the indexes of all cells with the series arranged in ``order``."""
    starts, sizes = (np.cumsum(counts) - counts)[order], counts[order]
    ends = np.cumsum(sizes)
    shifts: npt.NDArray[np.int64] = np.repeat(starts - (ends - sizes), sizes)
    return np.arange(len(shifts)) + shifts


def rounded(offsets: Signed) -> Signed:
    """Return offsets rounded to whole cells."""
    return (offsets + HALF) >> FRACTION
