"""The columns of a batch: their numbers, how they may be written, and what writing and reading have in common.

A column is a run of integers, series after series. Those that say nothing (all as expected) are left out; those with
few exceptions list these; the others are written whole, as bytes for the coders that pack bytes, or as symbols of the
model (coder 3). :mod:`wire.writing` and :mod:`wire.reading` do it.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from wire.expectation import FRACTION, HALF
from wire.varint import Signed

OPTIONAL = 0x80
"""Set in a column's number when a reader that does not know it may skip it."""
EACH = 255
"""In place of a window: each series has its own, which follow."""
MAX_COLUMNS = 64


class Id(IntEnum):
    """The numbers of the columns."""

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


OF_READINGS = frozenset({Id.TIME, Id.VALUE, Id.QUALITY, Id.PATCHES, Id.ORDER, Id.REST})
OF_AGGREGATES = frozenset(Id) - {Id.QUALITY}
ORDERED = frozenset({Id.VALUE, Id.LOW, Id.HIGH, Id.STD, Id.SCORE})
"""The columns whose cells stand in the order that ORDER gives, where they are bytes."""
GROUPED = frozenset({Id.SCORE})
"""The columns in which a series at rest (see REST) is a group of its own."""


class Mode(IntEnum):
    """How a column's cells are written."""

    FEW = 0
    """Exceptions: how many cells are as expected before each, and what it is off by."""
    SIGNED = 1
    UNSIGNED = 2
    MODELLED = 3
    """Symbols of the model, behind the head; the payload has the model's parameters."""
    BYTES = 4
    """A layout of its own."""
    RARE = 5
    """Exceptions as in FEW, as symbols of the model."""


def gather(counts: npt.NDArray[np.int64], order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the places of all cells when the series stand in ``order``."""
    starts, sizes = (np.cumsum(counts) - counts)[order], counts[order]
    ends = np.cumsum(sizes)
    shifts: npt.NDArray[np.int64] = np.repeat(starts - (ends - sizes), sizes)
    return np.arange(len(shifts)) + shifts


def rounded(offsets: Signed) -> Signed:
    """Return offsets as whole cells."""
    return (offsets + HALF) >> FRACTION
