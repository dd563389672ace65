"""Registry of the series that a process knows: each name has an id while it is in use. Pure.

State by series is kept in arrays that ids index. At the limit, the series that was received least recently is replaced:
its id is given to the new series, and the owners of state by id clear it (see :class:`Assignment`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from wire.model import FloatArray, IntArray, Series

S = TypeVar("S", bound=np.generic)
UNKNOWN = -1
"""In place of the id of a series above the limit."""

Busy = Callable[[], IntArray]
"""Returns the ids that must not be reused."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A series under its id: new, with a new description, or in the place of the series ``replaced``."""

    series_id: int
    series: Series
    replaced: Series | None = None


class SeriesRegistry:
    """Series by name and by id, at most ``max_series``; a lower limit that is set later takes no series its id."""

    def __init__(self, max_series: int) -> None:
        self.max_series = max_series
        self._ids: dict[str, int] = {}
        self._series: list[Series] = []
        self._received = np.zeros(0)

    def __len__(self) -> int:
        return len(self._series)

    def __getitem__(self, series_id: int) -> Series:
        return self._series[series_id]

    @property
    def received(self) -> FloatArray:
        """Time at which each series was received last, in the caller's unit; 0 before the first, float64 by id."""
        return self._received[: len(self)]

    def all(self) -> tuple[Series, ...]:
        """Return every series, by id."""
        return tuple(self._series)

    def series(self, ids: IntArray) -> tuple[Series, ...]:
        """Return the series with these ids."""
        return tuple(self._series[number] for number in ids.tolist())

    def find(self, name: str) -> int:
        """Return the id of a series, UNKNOWN if it has none."""
        return self._ids.get(name, UNKNOWN)

    def resolve(self, series: Sequence[Series], busy: Busy) -> tuple[IntArray, list[Assignment]]:
        """Return the id of each series, UNKNOWN above the limit, and the assignments made for that."""
        found = np.array([self.find(one.name) for one in series], np.int64)
        missing = {one.name for one, number in zip(series, found.tolist(), strict=True) if number == UNKNOWN}
        excess = len(missing) - max(0, self.max_series - len(self))
        reusable = iter(self._least_recent(excess, found, busy()) if excess > 0 else ())
        assigned: list[Assignment] = []
        for at, (one, number) in enumerate(zip(series, found.tolist(), strict=True)):
            if number == UNKNOWN:
                number = self.find(one.name)  # known if the name occurs twice
            if number == UNKNOWN:
                number = len(self) if len(self) < self.max_series else next(reusable, UNKNOWN)
            if number == UNKNOWN:
                continue
            found[at] = number
            if number == len(self) or (self._series[number] is not one and self._series[number] != one):
                assigned.append(self.assign(number, one))
        return found, assigned

    def assign(self, series_id: int, series: Series) -> Assignment:
        """Give a series an id: the next one, its own one for a new description, or that of a series to forget."""
        replaced = None
        if series_id == len(self._series):
            self._series.append(series)
            if series_id >= len(self._received):
                self._received = extended(self._received, len(self))
        elif self._series[series_id].name != series.name:
            replaced = self._series[series_id]
            del self._ids[replaced.name]
        self._series[series_id] = series
        self._ids[series.name] = series_id
        return Assignment(series_id, series, replaced)

    def touch(self, ids: IntArray, at: float | FloatArray | IntArray) -> None:
        """Record that these series were received at ``at``, unless they were received later."""
        self._received[ids] = np.maximum(self._received[ids], at)

    def _least_recent(self, count: int, in_use: IntArray, busy: IntArray) -> list[int]:
        """Return at most ``count`` ids that may be reused, the least recently received first."""
        received = self.received.copy()
        received[in_use[in_use != UNKNOWN]] = np.inf
        received[busy] = np.inf
        if count == 1 and len(received):
            order = np.array([np.argmin(received)])  # faster than to sort all of them for one
        else:
            order = np.argsort(received, kind="stable")[:count]
        chosen: list[int] = order[np.isfinite(received[order])].tolist()
        return chosen


def extended(column: npt.NDArray[S], size: int) -> npt.NDArray[S]:
    """Return a column by id with room for at least ``size`` ids, zero for the new ones."""
    room = max(size, 2 * len(column), 64)
    return np.concatenate([column, np.zeros(room - len(column), column.dtype)])
