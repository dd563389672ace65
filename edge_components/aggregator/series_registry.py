"""Registry of the series that the aggregator knows: each name has an id while it is in use. Pure.

State by series is kept in arrays that ids index. At the limit a new series gets the id of the least recently received
one, and the owners of state by id clear it (see :class:`Assignment`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edge_components.aggregator.plausibility import SeriesLimits
from edge_components.common.patterns import longest_match
from wire.model import FloatArray, IntArray, Series

Ranges = Mapping[str, tuple[float, float]]
"""Lowest and highest value allowed, inclusive, by a glob over series' names."""


@dataclass(frozen=True, slots=True)
class Checks:
    """Limits by a glob over series' names: units per second, and milliseconds of an unchanged value."""

    max_rates: Mapping[str, float] = field(default_factory=dict)
    stuck_after_ms: Mapping[str, float] = field(default_factory=dict)


UNKNOWN = -1
Seeds = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Assignment:
    """Assignment of an id: to a new series, to a changed description, or to a replacement of another series."""

    series_id: int
    series: Series
    replaced: bool


class SeriesRegistry:
    """Ids by name, and the range that the configuration gives each series."""

    def __init__(self, ranges: Ranges, max_series: int, checks: Checks | None = None) -> None:
        self._ranges, self._max_series, self._checks = ranges, max_series, checks or Checks()
        self._ids: dict[str, int] = {}
        self._series: list[Series] = []
        self._low, self._high = np.zeros(0), np.zeros(0)
        self._max_rate, self._stuck_ms = np.zeros(0), np.zeros(0)
        self._seed = np.zeros(0, np.uint64)
        self._received = np.zeros(0, np.int64)
        self._batches = 0

    def __len__(self) -> int:
        return len(self._series)

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
        """Limits for the comparison with the previous reading, None without limits."""
        if not self._checks.max_rates and not self._checks.stuck_after_ms:
            return None
        return SeriesLimits(self._max_rate[: len(self)], self._stuck_ms[: len(self)])

    @property
    def seed(self) -> Seeds:
        """A key of each series that does not depend on its id, uint64 by id."""
        return self._seed[: len(self)]

    def all(self) -> tuple[Series, ...]:
        """Return every series, by id."""
        return tuple(self._series)

    def series(self, ids: IntArray) -> tuple[Series, ...]:
        """Return the series with these ids."""
        return tuple(self._series[number] for number in ids.tolist())

    def resolve(self, series: Sequence[Series], busy: Callable[[], IntArray]) -> tuple[IntArray, list[Assignment]]:
        """Return the id of each series of a batch, UNKNOWN beyond the limit, and what was assigned for that.

        ``busy`` gives the ids that must not be reused.
        """
        known = self._ids
        found = np.array([known.get(one.name, UNKNOWN) for one in series], np.int64)
        assigned: list[Assignment] = []
        spare: Iterator[int] | None = None
        for at, (one, number) in enumerate(zip(series, found.tolist(), strict=True)):
            if number != UNKNOWN:
                described = self._series[number]
                if described is not one and described != one:
                    assigned.append(self.assign(number, one))
                continue
            if one.name in known:  # twice in one batch
                found[at] = known[one.name]
                continue
            if len(self._series) < self._max_series:
                number = len(self._series)
            else:
                spare = self._least_recent(found, busy()) if spare is None else spare
                number = next(spare, UNKNOWN)
                if number == UNKNOWN:
                    continue
            assigned.append(self.assign(number, one))
            found[at] = number
        return found, assigned

    def assign(self, series_id: int, series: Series, seed: int | None = None) -> Assignment:
        """Assign an id: the next one, the present one for a changed description, or that of a series to be replaced."""
        replaced = series_id < len(self._series) and self._series[series_id].name != series.name
        if series_id == len(self._series):
            self._series.append(series)
            self._grow()
        elif replaced:
            del self._ids[self._series[series_id].name]
        self._series[series_id] = series
        self._ids[series.name] = series_id
        self._seed[series_id] = seed_of(series.name) if seed is None else seed
        self._set_limits(series_id)
        return Assignment(series_id, series, replaced)

    def touch(self, ids: IntArray) -> None:
        """Record that these series were received now."""
        if len(ids):
            self._batches += 1
            self._received[ids] = self._batches

    def configure(self, ranges: Ranges, max_series: int, checks: Checks | None = None) -> None:
        """Apply new ranges, checks and limit; a lower limit does not remove series."""
        self._ranges, self._max_series, self._checks = ranges, max_series, checks or Checks()
        for number in range(len(self._series)):
            self._set_limits(number)

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the arrays of a snapshot; :meth:`all` belongs to them."""
        size = len(self._series)
        return {"series_seed": self._seed[:size], "series_received": self._received[:size]}

    def restore(self, series: Sequence[Series], arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Continue from :meth:`all` and :meth:`state`; raises KeyError or ValueError for other arrays."""
        seeds, received = arrays["series_seed"], arrays["series_received"]
        if not len(series) == len(seeds) == len(received):
            raise ValueError(f"{len(series)} series, {len(seeds)} seeds, {len(received)} times of reception")
        for number, (one, seed) in enumerate(zip(series, seeds.tolist(), strict=True)):
            self.assign(number, one, seed)
        self._received[: len(series)] = received
        self._batches = int(received.max()) if len(received) else 0

    def _grow(self) -> None:
        if len(self._seed) >= len(self._series):
            return
        extra = max(64, len(self._seed))
        self._seed = np.append(self._seed, np.zeros(extra, np.uint64))
        self._received = np.append(self._received, np.zeros(extra, np.int64))
        self._low, self._high, self._max_rate, self._stuck_ms = (
            np.append(column, np.zeros(extra)) for column in (self._low, self._high, self._max_rate, self._stuck_ms)
        )

    def _least_recent(self, in_batch: IntArray, busy: IntArray) -> Iterator[int]:
        """Yield ids that may be reused, the least recently received first."""
        free = np.ones(len(self._series), np.bool_)
        free[in_batch[in_batch != UNKNOWN]] = False
        free[busy] = False
        candidates = np.flatnonzero(free)
        yield from candidates[np.argsort(self._received[candidates], kind="stable")].tolist()

    def _set_limits(self, number: int) -> None:
        name, checks = self._series[number].name, self._checks
        self._low[number], self._high[number] = self._range(name)
        for column, limits in ((self._max_rate, checks.max_rates), (self._stuck_ms, checks.stuck_after_ms)):
            glob = longest_match(name, limits)
            column[number] = np.inf if glob is None else limits[glob]

    def _range(self, name: str) -> tuple[float, float]:
        glob = longest_match(name, self._ranges)
        return (-np.inf, np.inf) if glob is None else self._ranges[glob]


def seed_of(name: str) -> int:
    """Return the key of a series by its name: 64 bits of a hash that is the same in every process."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
