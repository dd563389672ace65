"""A source with a worker thread on real clocks, its readings in memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edge_components.common.config import load
from edge_components.common.health import Counters
from edge_components.common.limited_log import RateLimitedLog
from edge_components.common.ports import SystemClock
from edge_components.sensor_reader.entries import kind_of
from edge_components.sensor_reader.source_series import Origin, SourceSeries
from edge_components.sensor_reader.sources import Context, Source
from tests.unit.sensor_reader.fakes import Sink
from tests.waiting import pause, until

DEADLINE = 15.0


class QualitySink(Sink):
    """A sink that also keeps the qualities and units."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.registry = SourceSeries({}, 1_000)
        self.readings: list[tuple[str, int, float]] = []
        self.qualities: list[int] = []
        self.rejected: list[tuple[str, str]] = []
        self.pending = None

    def series_id(
        self, name: str, address: str, unit: str = "", resolution: float | None = None, *, wait: bool = False
    ) -> int:
        origin = Origin("s", address)
        return self.registry.series_id(name, origin, self.clock.monotonic(), unit, resolution, beside=not wait)

    def extend(self, series_ids: Any, times_ms: Any, values: Any, qualities: Any, arrived: float) -> None:
        super().extend(series_ids, times_ms, values, qualities, arrived)
        self.qualities += qualities


class ThreadSite:
    """One entry's source; closed as a context manager."""

    def __init__(self, kind_name: str, values: Mapping[str, Any], name: str = "s") -> None:
        self.counters, self.sink = Counters(), QualitySink()
        kind = kind_of(kind_name)
        settings = kind.read(values) if kind.read is not None else load(kind.settings, values)
        log = RateLimitedLog(self.counters, logging.getLogger("test"), SystemClock())
        self.context = Context(name, "gw", SystemClock(), log, lambda: None, Path(), lambda: 0.02)
        self.source: Source = kind.open(settings, self.context)

    def __enter__(self) -> ThreadSite:
        self.source.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()

    @property
    def values(self) -> dict[str, float]:
        """The last value of each series."""
        return {name: value for name, _time, value in self.sink.readings}

    @property
    def units(self) -> dict[str, str]:
        """The unit of each series."""
        return {one.name: one.unit for one in (self.sink.registry[at] for at in range(len(self.sink.registry)))}

    def poll_until(self, done: Callable[[], bool]) -> None:
        """Poll until a condition holds."""

        def state() -> object:
            return self.values, self.sink.rejected[-3:], self.counters.snapshot(), self.source.health()

        until(done, state, DEADLINE, self.poll)

    def poll(self) -> None:
        """Poll once, and pause for a moment."""
        self.source.poll(self.sink)
        pause(0.01)
