"""Tables of what is kept of readings by window, and merged when it is needed. Pure, columnar.

Rows are added at the end, and reduced to one row for each window, or for each value of a window, when they are read or
when there are as many new rows as reduced ones. So a batch of readings costs about its own size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from edge_components.aggregator.open_windows import series_of
from edge_components.aggregator.window_types import Arrays, BoolArray
from wire.model import FloatArray, IntArray

_MIN_WAITING = 4_096


class KeyedTable(ABC):
    """Columns of equal length: ``key`` of the window (see OpenWindows), ``count`` of readings, ``value``, and others.

    Subclasses declare their columns in the order of storage, and reduce rows.
    """

    COLUMNS: ClassVar[dict[str, type[np.generic]]]

    def __init__(self) -> None:
        self._columns: dict[str, npt.NDArray[Any]] = {name: np.zeros(0, kind) for name, kind in self.COLUMNS.items()}
        self._waiting: list[dict[str, npt.NDArray[Any]]] = []
        self._waiting_rows = 0

    @abstractmethod
    def _reduced(self, columns: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Return rows sorted by key; earlier rows come first in ``columns``."""

    def __len__(self) -> int:
        """Return the number of rows, of which some may be merged later."""
        return len(self._columns["key"]) + self._waiting_rows

    @property
    def key(self) -> IntArray:
        """Keys of the windows, sorted; a window can have several rows."""
        self._settle()
        return self._columns["key"]

    @property
    def count(self) -> IntArray:
        """Number of readings of each row."""
        self._settle()
        return self._columns["count"]

    @property
    def value(self) -> FloatArray:
        """Value of each row."""
        self._settle()
        return self._columns["value"]

    def append(self, other: Self) -> None:
        """Add the rows of another table."""
        other._settle()
        self._add(other._columns)

    def take(self, keys: IntArray) -> Self:
        """Remove and return the rows of some windows; ``keys`` is sorted."""
        self._settle()
        which = _among(self._columns["key"], keys)
        taken = self._selected(which)
        if len(taken):
            self._columns = self._selected(~which)._columns
        return taken

    def of(self, keys: IntArray) -> Self:
        """Return a copy of the rows of some windows; ``keys`` is sorted."""
        self._settle()
        return self._selected(_among(self._columns["key"], keys))

    def retain(self, keys: IntArray) -> None:
        """Remove the rows of all other windows; ``keys`` is sorted."""
        self._columns = self.of(keys)._columns

    def remove_series(self, which: BoolArray) -> None:
        """Remove the rows of some series; ``which`` is a mask by series id, false beyond its end."""
        self._settle()
        self._columns = self._selected(~series_of(self._columns["key"], which))._columns

    def rescale(self, which: BoolArray, factor: float, offset: float) -> None:
        """Convert the values of some series to another unit; ``which`` as for :meth:`remove_series`."""
        self._settle()
        rows = series_of(self._columns["key"], which)
        if rows.any():
            value = self._columns["value"]
            self._columns = self._reduced(self._columns | {"value": np.where(rows, value * factor + offset, value)})

    def clear(self) -> None:
        """Remove all rows."""
        KeyedTable.__init__(self)

    def state(self, prefix: str) -> Arrays:
        """Return the arrays of a snapshot."""
        self._settle()
        return {f"{prefix}_{name}": column for name, column in self._columns.items()}

    def restore(self, prefix: str, arrays: Arrays) -> None:
        """Continue from :meth:`state`; raises KeyError or ValueError for other arrays. Earlier versions lack them."""
        self.clear()
        if f"{prefix}_key" not in arrays:
            return
        found = {name: arrays[f"{prefix}_{name}"].astype(kind) for name, kind in self.COLUMNS.items()}
        if len({len(column) for column in found.values()}) > 1:
            raise ValueError(f"{prefix}: columns of different length")
        self._columns = found

    def _add(self, columns: dict[str, npt.NDArray[Any]]) -> None:
        self._waiting.append(columns)
        self._waiting_rows += len(columns["key"])
        if self._waiting_rows >= max(_MIN_WAITING, len(self._columns["key"])):
            self._settle()

    def _settle(self) -> None:
        if self._waiting_rows:
            parts = [self._columns, *self._waiting]
            self._columns = self._reduced({name: np.concatenate([one[name] for one in parts]) for name in self.COLUMNS})
        self._waiting, self._waiting_rows = [], 0

    def _selected(self, which: BoolArray) -> Self:
        other = type(self)()
        other._columns = {name: column[which] for name, column in self._columns.items()}
        return other


def _among(key: IntArray, keys: IntArray) -> BoolArray:
    """Return a mask of those that are among ``keys``, which are sorted."""
    if not len(keys):
        return np.zeros(len(key), np.bool_)
    found: BoolArray = keys[np.minimum(np.searchsorted(keys, key), len(keys) - 1)] == key
    return found
