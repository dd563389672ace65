"""Distribution of the values of each window, from which its percentiles are taken. Pure, columnar.

A distribution is the different values of a window with the number of readings of each, so that percentiles are exact,
and distributions of the same window can be merged. Where a window has more than MAX_VALUES different values, they are
rounded to fewer significant bits, as in the buckets of DDSketch (Masson, Rim and Lee, 2019) with the mapping that takes
them from the bits of a number: to 13 bits, which is a relative error of at most 2^-13 (0.012 %), and to one bit less as
long as there are still too many, which doubles the error.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edge_components.aggregator.keyed_table import KeyedTable
from wire.model import FloatArray, IntArray

MAX_VALUES = 4_096
"""Maximum number of values of a window, 24 bytes each."""

MAX_ROWS = 1_000_000
"""Number of values of all windows above which MAX_VALUES is halved, as often as necessary (24 MB)."""

MIN_VALUES = 16
"""Number of values of a window to which it is halved at most."""

_FIRST_BITS = 12
_MANTISSA_BITS = 52


class Distributions(KeyedTable):
    """One row for each different value of a window, sorted by key and value."""

    COLUMNS = {"key": np.int64, "value": np.float64, "count": np.int64}  # constant

    def add(self, key: IntArray, value: FloatArray) -> None:
        """Add readings by the key of their window."""
        self._add({"key": key, "value": value + 0.0, "count": np.ones(len(key), np.int64)})  # 0.0 in place of -0.0

    def quantiles(self, keys: IntArray, thousandths: int) -> tuple[FloatArray, IntArray]:
        """Return a quantile of each window, and the number of its readings; 0 readings for an unknown window.

        The quantile is the smallest value that is not below ``thousandths`` / 1000 of the readings.
        """
        begin, end = np.searchsorted(self.key, keys, "left"), np.searchsorted(self.key, keys, "right")
        until = np.concatenate(([0], np.cumsum(self.count)))
        total = until[end] - until[begin]
        rank = until[begin] + -(-thousandths * total // 1000)
        at = np.minimum(np.searchsorted(until[1:], rank, "left"), max(0, len(self.value) - 1))
        value = self.value[at] if len(self.value) else np.zeros(len(keys))
        return value, total

    def _reduced(self, columns: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        reduced = _merged(columns["key"], columns["value"], columns["count"])
        limit, bits = MAX_VALUES, _FIRST_BITS
        while True:
            key = reduced["key"]
            first = np.flatnonzero(np.append(True, key[1:] != key[:-1])) if len(key) else np.zeros(0, np.intp)
            size = np.diff(np.append(first, len(key)))
            large = size > limit
            if large.any() and bits >= 0:
                value = np.where(np.repeat(large, size), rounded(reduced["value"], bits), reduced["value"])
                reduced, bits = _merged(key, value, reduced["count"]), bits - 1
            elif len(key) > MAX_ROWS and limit > MIN_VALUES:
                limit, bits = limit // 2, _FIRST_BITS
            else:
                return reduced


def rounded(value: FloatArray, bits: int) -> FloatArray:
    """Return values rounded to ``bits`` binary digits after the first one; the relative error is 2^-(bits + 1)."""
    dropped = _MANTISSA_BITS - bits
    half, mask = np.uint64(1 << (dropped - 1)), ~np.uint64((1 << dropped) - 1)
    nearest: FloatArray = ((value.view(np.uint64) + half) & mask).view(np.float64)
    return nearest


def _merged(key: IntArray, value: FloatArray, count: IntArray) -> dict[str, npt.NDArray[Any]]:
    """Return rows sorted by key and value, with equal ones as one row."""
    if not len(key):
        return {"key": key, "value": value, "count": count}
    order = np.lexsort((value, key))
    key, value = key[order], value[order]
    first = np.flatnonzero(np.append(True, (key[1:] != key[:-1]) | (value[1:] != value[:-1])))
    return {"key": key[first], "value": value[first], "count": np.add.reduceat(count[order], first)}
