"""State kept as columns: arrays with one row a series, which grow, are taken from and written back together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.intp] | slice
"""Which series: row numbers, or a slice where all of a stretch are meant (which copies nothing)."""

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


def push(ring: npt.NDArray[Any], value: Any) -> None:
    """Put a value, or a row of them, at the end of a ring, and drop its oldest."""
    ring[:-1] = ring[1:]
    ring[-1] = value


def column(fill: float, dtype: Any = np.float64) -> Any:
    """Declare a column with the value that a new series begins with."""
    return dataclasses.field(metadata={"fill": fill, "dtype": dtype})


@dataclasses.dataclass(slots=True)
class Columns:
    """Base of dataclasses whose fields are all declared with :func:`column`; shapes are [series] or [series, k]."""

    @classmethod
    def empty(cls, n: int, shapes: Mapping[str, tuple[int, ...]]) -> Self:
        """Return columns for ``n`` new series; ``shapes`` has the further dimensions of those that have any."""
        return cls(
            **{
                f.name: np.full((n, *shapes.get(f.name, ())), f.metadata["fill"], f.metadata["dtype"])
                for f in dataclasses.fields(cls)
            }
        )

    def __len__(self) -> int:
        return len(getattr(self, dataclasses.fields(self)[0].name))

    def grown(self, n: int) -> Self:
        """Return columns of ``n`` series, the first of them these."""
        more = {}
        for f in dataclasses.fields(self):
            old = getattr(self, f.name)
            more[f.name] = np.full((n, *old.shape[1:]), f.metadata["fill"], old.dtype)
            more[f.name][: len(old)] = old
        return type(self)(**more)

    def take(self, index: Index) -> Self:
        """Return the rows of some series: views for a slice, copies for row numbers."""
        return type(self)(*[getattr(self, name)[index] for name in self._names()])

    def put(self, index: Index, rows: Self) -> None:
        """Write rows back that were taken with ``index``."""
        for name in self._names():
            getattr(self, name)[index] = getattr(rows, name)

    def _names(self) -> tuple[str, ...]:
        return tuple(self.__slots__)
