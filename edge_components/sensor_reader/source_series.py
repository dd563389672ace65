"""Series that sources provide, by id, with their origins and descriptions. Pure.

A series has one origin (a topic, a source). Another origin takes a series over when the first has been silent for a
while: a device that moved to another topic. While both are active, they collide: the second gets a series whose name
has a checksum of its origin at the end, until the configuration gives it another name.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from edge_components.common.packing import series_bytes
from edge_components.common.patterns import longest_match
from edge_components.common.series_registry import UNKNOWN, Assignment, SeriesRegistry, extended
from edge_components.sensor_reader.errors import CollisionError, RejectedError
from wire.errors import ModelError
from wire.model import IntArray, Series

Traits = Mapping[str, tuple[str | None, float | None]]
"""Unit and resolution by a glob over series' names; None keeps the source's."""

SHORTEST_SILENCE_S, LONGEST_SILENCE_S = 10.0, 600.0
UNKNOWN_SILENCE_S = 60.0
_SILENT_GAPS = 3.0
_GAP_DECAY = 0.95


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a series: the name of a source, and the address of the value in it (a topic, a register)."""

    source: str
    address: str

    def __str__(self) -> str:
        return f"{self.source} {self.address[:160]}"


class SourceSeries(SeriesRegistry):
    """Registry of series; the time of reception is the time of activity in monotonic seconds."""

    def __init__(self, traits: Traits, max_series: int) -> None:
        super().__init__(max_series)
        self._traits = traits
        self._given: dict[int, Series] = {}
        self._origins: dict[int, Origin | None] = {}
        self.plain_bytes: list[int] = []
        """The size of each series' directory entry before any coding, by id."""
        self._gap = np.zeros(0)
        self.in_use: Callable[[], Collection[int]] = tuple
        """Callback that returns the ids in use by readings, which are not reused."""
        self.make_room: Callable[[], None] = lambda: None
        """Callback that sends the readings: to free ids when all are in use, or before a unit changes."""
        self.on_forget: Callable[[Origin], None] = lambda origin: None
        """Called with an origin that no longer provides its series."""
        self.on_move: Callable[[str, Origin, Origin], None] = lambda name, before, after: None
        """Called when another origin takes a series over."""
        self.on_collision: Callable[[str, Origin, Origin], None] = lambda name, first, second: None
        """Called with the name that the second of two origins of one series gets."""
        self.on_evict: Callable[[str, float], None] = lambda name, silence_s: None
        """Called with a removed series, and the seconds since it was active."""

    def series_id(
        self,
        name: str,
        origin: Origin,
        now: float,
        unit: str = "",
        resolution: float | None = None,
        *,
        beside: bool = False,
    ) -> int:
        """Return the id of the series that ``origin`` provides at ``now`` (monotonic seconds).

        While another origin provides the series, raises CollisionError, or returns a series with a name of its own with
        ``beside``. Raises RejectedError for a name that is not allowed and if no series can be evicted.
        """
        known = self.find(name)
        if known == UNKNOWN:
            return self._add(name, origin, now, unit, resolution)
        before = self._origins[known]
        if before != origin:
            if before is not None:
                try:
                    self._take_over(known, before, origin, now)
                except CollisionError:
                    if not beside:
                        raise
                    own = f"{name}:{zlib.crc32(f'{origin.source} {origin.address}'.encode(errors='replace')):08x}"
                    series_id = self.series_id(own, origin, now, unit, resolution)
                    self.on_collision(own, before, origin)
                    return series_id
            self._origins[known] = origin
        if unit and unit != self._given[known].unit:
            self._change_unit(known, unit)
        return known

    def _change_unit(self, series_id: int, unit: str) -> None:
        """Give a series the unit that its origin has changed to, after the readings in the former one were sent."""
        given = self._given[series_id]
        try:
            changed = Series(given.name, unit, given.resolution)
        except ModelError as error:
            raise RejectedError("rejected_name", str(error)) from error
        self.make_room()
        self._given[series_id] = changed
        self.assign(series_id, self._described(changed))

    def assign(self, series_id: int, series: Series) -> Assignment:
        """Give a series an id (see the base class)."""
        assignment = super().assign(series_id, series)
        size = series_bytes(series.name, series.unit)
        if series_id == len(self.plain_bytes):
            self.plain_bytes.append(size)
        else:
            self.plain_bytes[series_id] = size
        return assignment

    def note_active(self, series_ids: IntArray, at: float) -> None:
        """Record the distinct series that were active at ``at`` (monotonic seconds) or shortly after."""
        since = at - self.received[series_ids]
        known = self._gap[series_ids] >= 0
        gap = np.where(known, np.maximum(since, self._gap[series_ids] * _GAP_DECAY), np.where(since > 0, since, -1.0))
        self._gap[series_ids] = gap
        self.touch(series_ids, at)

    def release(self, source: str) -> list[int]:
        """Allow any origin to take over the series of a source, because its settings changed; return their ids."""
        released = [
            number for number, origin in self._origins.items() if origin is not None and origin.source == source
        ]
        for series_id in released:
            self._origins[series_id] = None
        return released

    def describe(self, traits: Traits, max_series: int) -> None:
        """Apply other units, resolutions and limit; ids stay."""
        self._traits, self.max_series = traits, max_series
        for series_id, given in self._given.items():
            self.assign(series_id, self._described(given))

    def _take_over(self, series_id: int, before: Origin, after: Origin, now: float) -> None:
        gap = float(self._gap[series_id])
        needed = UNKNOWN_SILENCE_S if gap < 0 else min(max(_SILENT_GAPS * gap, SHORTEST_SILENCE_S), LONGEST_SILENCE_S)
        last_active = float(self.received[series_id])
        name = self[series_id].name
        if now - last_active < needed:
            text = f"series {name} comes from {before} and from {after} at once"
            raise CollisionError(text, last_active)
        self.on_forget(before)
        self.on_move(name, before, after)

    def _add(self, name: str, origin: Origin, now: float, unit: str, resolution: float | None) -> int:
        try:
            given = Series(name, unit, resolution)
        except ModelError as error:
            raise RejectedError("rejected_name", str(error)) from error
        described = (self._described(given),)
        _, assigned = self.resolve(described, self._busy)
        if not assigned:
            self.make_room()
            _, assigned = self.resolve(described, self._busy)
        if not assigned:
            raise RejectedError("rejected_series_limit", f"series {name} is one more than {self.max_series}")
        series_id, replaced = assigned[0].series_id, assigned[0].replaced
        if replaced is not None:
            former = self._origins[series_id]
            if former is not None:
                self.on_forget(former)
            self.on_evict(replaced.name, now - float(self.received[series_id]))
        self._given[series_id], self._origins[series_id] = given, origin
        if series_id >= len(self._gap):
            self._gap = extended(self._gap, len(self))
        self._gap[series_id] = -1.0
        self.touch(np.array([series_id]), now)
        return series_id

    def _busy(self) -> IntArray:
        return np.fromiter(self.in_use(), np.int64)

    def _described(self, given: Series) -> Series:
        glob = longest_match(given.name, self._traits)
        if glob is None:
            return given
        unit, resolution = self._traits[glob]
        return Series(
            given.name,
            given.unit if unit is None else unit,
            given.resolution if resolution is None else resolution,
        )
