"""Helpers of columns shared by :mod:`wire.column_writer` and :mod:`wire.column_reader`; see :mod:`wire.column_ids`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wire.column_ids import EACH as EACH
from wire.column_ids import GROUPED as GROUPED
from wire.column_ids import MAX_COLUMNS as MAX_COLUMNS
from wire.column_ids import OF_AGGREGATES as OF_AGGREGATES
from wire.column_ids import OF_READINGS as OF_READINGS
from wire.column_ids import OPTIONAL as OPTIONAL
from wire.column_ids import ORDERED as ORDERED
from wire.column_ids import Id as Id
from wire.column_ids import Mode as Mode
from wire.model_coder.prediction import FRACTION, HALF
from wire.varint import Signed


def gather(counts: npt.NDArray[np.int64], order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the indexes of all cells with the series arranged in ``order``."""
    starts, sizes = (np.cumsum(counts) - counts)[order], counts[order]
    ends = np.cumsum(sizes)
    shifts: npt.NDArray[np.int64] = np.repeat(starts - (ends - sizes), sizes)
    return np.arange(len(shifts)) + shifts


def rounded(offsets: Signed) -> Signed:
    """Return offsets rounded to whole cells."""
    return (offsets + HALF) >> FRACTION
