"""Rows of closed windows that are not in a batch yet, in order. Pure."""

from __future__ import annotations

import numpy as np

from wire.model import Aggregates, is_statistic

Key = tuple[str, int, int, int]
"""Series name, start, width and revision of a row."""


class PendingRows:
    """A queue of aggregates."""

    def __init__(self) -> None:
        self._parts: list[Aggregates] = []

    def __len__(self) -> int:
        """Return the number of rows."""
        return sum(map(len, self._parts))

    def __bool__(self) -> bool:
        return bool(self._parts)

    @property
    def readings(self) -> int:
        """Number of readings in the rows."""
        return sum(map(readings_in, self._parts))

    def append(self, rows: Aggregates) -> None:
        """Add rows at the end."""
        if len(rows):
            self._parts.append(rows)

    def merged(self) -> Aggregates | None:
        """Return all rows in order, None without any."""
        if len(self._parts) > 1:
            self._parts = [Aggregates.concatenate(self._parts)]
        return self._parts[0] if self._parts else None

    def take(self, rows: int) -> None:
        """Remove the first ``rows``."""
        pending = self.merged()
        rest = pending.take(slice(rows, None)) if pending is not None else None
        self._parts = [rest] if rest is not None and len(rest) else []

    def remove(self, keys: set[Key]) -> None:
        """Remove the rows with these keys."""
        pending = self.merged()
        if pending is None:
            return
        kept = [key not in keys for key in keys_in_order(pending)]
        rest = pending.take(np.flatnonzero(kept)).compact()
        self._parts = [rest] if len(rest) else []

    def clear(self) -> None:
        """Remove all rows."""
        self._parts = []


def readings_in(rows: Aggregates) -> int:
    """Return the number of readings in rows; those of statistics are in the rows of their series, too."""
    statistic = [is_statistic(series.name) for series in rows.series]
    if not any(statistic):
        return int(rows.count.sum())
    return int(rows.count[~np.array(statistic)[rows.series_index]].sum())


def keys_in_order(rows: Aggregates) -> list[Key]:
    """Return the key of each row."""
    names = [series.name for series in rows.series]
    columns = (getattr(rows, name).tolist() for name in ("series_index", "start_ms", "width_ms", "revision"))
    return [(names[index], start, width, revision) for index, start, width, revision in zip(*columns, strict=True)]
