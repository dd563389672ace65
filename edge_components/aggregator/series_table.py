"""Series of the aggregator by id, with the range and the limits that the configuration gives each of them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edge_components.aggregator.plausibility import SeriesLimits
from edge_components.common.patterns import longest_match
from edge_components.common.series_registry import Assignment, SeriesRegistry, extended
from wire.model import FloatArray, IntArray, Series

Ranges = Mapping[str, tuple[float, float]]
"""Lowest and highest value allowed, inclusive, by a glob over series' names."""


@dataclass(frozen=True, slots=True)
class Checks:
    """Limits by a glob over series' names: units per second, and milliseconds of an unchanged value."""

    max_rates: Mapping[str, float] = field(default_factory=dict)
    stuck_after_ms: Mapping[str, float] = field(default_factory=dict)


Seeds = npt.NDArray[np.uint64]


class SeriesTable(SeriesRegistry):
    """Registry of series with columns by id."""

    def __init__(self, ranges: Ranges, max_series: int, checks: Checks | None = None) -> None:
        super().__init__(max_series)
        self._ranges, self._checks = ranges, checks or Checks()
        self._low, self._high = np.zeros(0), np.zeros(0)
        self._max_rate, self._stuck_ms = np.zeros(0), np.zeros(0)
        self._seed = np.zeros(0, np.uint64)
        self._batches = 0

    @property
    def low(self) -> FloatArray:
        """Lowest value allowed, float64 by id."""
        return self._low[: len(self)]

    @property
    def high(self) -> FloatArray:
        """Highest value allowed, float64 by id."""
        return self._high[: len(self)]

    @property
    def limits(self) -> SeriesLimits | None:
        """Limits for the checks against the reading before, None without any."""
        if not self._checks.max_rates and not self._checks.stuck_after_ms:
            return None
        return SeriesLimits(self._max_rate[: len(self)], self._stuck_ms[: len(self)])

    @property
    def seed(self) -> Seeds:
        """A key of each series that does not depend on its id, uint64 by id."""
        return self._seed[: len(self)]

    def assign(self, series_id: int, series: Series) -> Assignment:
        """Give a series an id (see the base class), its key and its limits."""
        assignment = super().assign(series_id, series)
        if series_id >= len(self._seed):
            for name in ("_seed", "_low", "_high", "_max_rate", "_stuck_ms"):
                setattr(self, name, extended(getattr(self, name), len(self)))
        self._seed[series_id] = seed_of(series.name)
        self._set_limits(series_id)
        return assignment

    def received_now(self, ids: IntArray) -> None:
        """Record that these series were received now: the time is the number of batches."""
        if len(ids):
            self._batches += 1
            self.touch(ids, self._batches)

    def configure(self, ranges: Ranges, max_series: int, checks: Checks | None = None) -> None:
        """Apply other ranges, checks and another limit."""
        self._ranges, self.max_series, self._checks = ranges, max_series, checks or Checks()
        for number in range(len(self)):
            self._set_limits(number)

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the arrays of a snapshot; :meth:`all` belongs to them."""
        return {"series_seed": self.seed, "series_received": self.received.astype(np.int64)}

    def restore(self, series: Sequence[Series], arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Continue from :meth:`all` and :meth:`state`; raises KeyError or ValueError for other arrays."""
        seeds, received = arrays["series_seed"], arrays["series_received"]
        if not len(series) == len(seeds) == len(received):
            raise ValueError(f"{len(series)} series, {len(seeds)} seeds, {len(received)} times of reception")
        for number, one in enumerate(series):
            self.assign(number, one)
        self._seed[: len(series)] = seeds
        self.touch(np.arange(len(series)), received.astype(np.float64))
        self._batches = int(received.max()) if len(received) else 0

    def _set_limits(self, number: int) -> None:
        name, checks = self[number].name, self._checks
        glob = longest_match(name, self._ranges)
        self._low[number], self._high[number] = (-np.inf, np.inf) if glob is None else self._ranges[glob]
        for column, limits in ((self._max_rate, checks.max_rates), (self._stuck_ms, checks.stuck_after_ms)):
            glob = longest_match(name, limits)
            column[number] = np.inf if glob is None else limits[glob]


def seed_of(name: str) -> int:
    """Return the key of a series by its name: 64 bits of a hash that is the same in every process."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
