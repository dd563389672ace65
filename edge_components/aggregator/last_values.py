"""Value of the newest reading of each window. Pure, columnar."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edge_components.aggregator.keyed_table import KeyedTable
from wire.model import FloatArray, IntArray


class LastValues(KeyedTable):
    """One row a window: the value with the newest event time, of equal times the one received last."""

    COLUMNS = {"key": np.int64, "time_ms": np.int64, "value": np.float64, "count": np.int64}  # constant

    def add(self, key: IntArray, time_ms: IntArray, value: FloatArray) -> None:
        """Add readings by the key of their window, in the order in which they were received."""
        self._add({"key": key, "time_ms": time_ms, "value": value, "count": np.ones(len(key), np.int64)})

    def _reduced(self, columns: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        order = np.lexsort((columns["time_ms"], columns["key"]))
        key = columns["key"][order]
        first = np.flatnonzero(np.append(True, key[1:] != key[:-1])) if len(key) else np.zeros(0, np.intp)
        last = np.append(first[1:], len(key)) - 1 if len(key) else first
        reduced = {name: column[order][last] for name, column in columns.items()}
        if len(key):
            reduced["count"] = np.add.reduceat(columns["count"][order], first)
        return reduced
