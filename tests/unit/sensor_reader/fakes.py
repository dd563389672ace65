"""Fakes of the ports around a source: the sink, the connection to a broker, the store of topic filters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from edge_components.sensor_reader.mqtt.connection import Received
from edge_components.sensor_reader.mqtt.packets import Publications
from edge_components.sensor_reader.source_series import Origin, SourceSeries
from tests.fakes import FakeClock


class Sink:
    """Sink on a real registry that records readings; acknowledges immediately unless held."""

    def __init__(self, clock: FakeClock) -> None:
        self.registry, self._clock = SourceSeries({}, 100), clock
        self.readings: list[tuple[str, int, float]] = []
        self.rejected: list[tuple[str, str]] = []
        self.pending: list[Callable[[], None]] | None = None
        self.collisions: list[tuple[str, str, str]] = []
        """The name that a second origin got, and the addresses of both."""
        self.registry.on_collision = lambda name, first, second: self.collisions.append(
            (name, first.address, second.address)
        )

    def series_id(
        self, name: str, address: str, unit: str = "", resolution: float | None = None, *, wait: bool = False
    ) -> int:
        origin = Origin("mqtt", address)
        return self.registry.series_id(name, origin, self._clock.monotonic(), unit, resolution, beside=not wait)

    def extend(
        self,
        series_ids: Sequence[int],
        times_ms: Sequence[int],
        values: Sequence[float],
        qualities: Sequence[int],
        arrived: float,
    ) -> None:
        names = [self.registry[series_id].name for series_id in series_ids]
        self.readings += zip(names, times_ms, values, strict=True)
        self.registry.note_active(np.unique(series_ids), arrived)

    def reject(self, reason: str, text: str, count: int = 1, *, key: str = "") -> None:
        self.rejected.append((reason, text))

    def when_stored(self, acknowledge: Callable[[], None]) -> None:
        if self.pending is None:
            acknowledge()
        else:
            self.pending.append(acknowledge)


class Filters:
    """A store of topic filters in memory."""

    def __init__(self, filters: Iterable[str] = ()) -> None:
        self.filters = set(filters)

    def load(self) -> set[str]:
        return set(self.filters)

    def save(self, filters: Iterable[str]) -> None:
        self.filters = set(filters)


class FakeConnection:
    """Connection whose publications come from the test, and which records acknowledgements."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.number, self.waiting, self.woken_after = 1, [], 0
        self.acknowledged: list[int] = []
        self.published: list[tuple[str, bytes]] = []
        self._mid = 0

    def publish(
        self, *publications: tuple[str, bytes], qos: int = 1, retain: bool = False, unread_ms: float = 0.0
    ) -> None:
        """Deliver publications in one read, ``unread_ms`` after the one before."""
        found = Publications()
        for at, (topic, payload) in enumerate(publications):
            self._mid += 1
            found.topics.append(topic.encode())
            found.payloads.append(payload)
            found.acknowledgements.append(b"\x40\2" + self._mid.to_bytes(2, "big") if qos else b"")
            if retain:
                found.retained.add(at)
        self.waiting.append(Received(found, self._clock.wall_ms(), self._clock.monotonic(), self.number, unread_ms))

    def start(self) -> None:
        """Do nothing."""

    def take(self) -> list[Received]:
        taken, self.waiting = self.waiting, []
        return taken

    def wake_after(self, count: int) -> None:
        self.woken_after = count

    def acknowledge(self, connection: int, packets: bytes) -> None:
        if connection == self.number:
            self.acknowledged += [int.from_bytes(packets[at + 2 : at + 4], "big") for at in range(0, len(packets), 4)]

    def reply(self, topic: str, payload: bytes) -> None:
        self.published.append((topic, payload))

    def health(self) -> Mapping[str, Any]:
        return {"connected": True}

    def close(self) -> None:
        """Do nothing."""
