"""A sink that prints readings, and the run of a mapping on one payload."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edge_components.common.errors import ConfigError
from edge_components.sensor_reader.entries import Entry, read_entries
from edge_components.sensor_reader.errors import RejectedError
from edge_components.sensor_reader.mapping.bindings import Binding, read_bindings
from edge_components.sensor_reader.mapping.decoder import Decoder
from edge_components.sensor_reader.source_series import Origin, SourceSeries
from strandline.errors import CommandError
from wire.model import Quality

MAX_SERIES = 16_384
Print = Callable[[str], None]


def line(name: str, value: float, unit: str, time_ms: int, quality: int) -> str:
    """Return one reading as a line of text."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time_ms / 1000)) + f".{time_ms % 1000:03d}Z"
    return f"{name} = {value:.12g}{f' {unit}' if unit else ''} at {moment}, {Quality(quality).name.lower()}"


class PrintingSink:
    """A sink that prints each reading and each rejection; see edge_components.sensor_reader.sources.Sink."""

    def __init__(self, show: Print, clock: Callable[[], float] = time.monotonic) -> None:
        self._show, self._clock = show, clock
        self._registry = SourceSeries({}, MAX_SERIES)
        self._registry.on_collision = lambda name, first, second: show(
            f"series_collisions: {first.address} and {second.address} give one name; the second is {name}"
        )
        self.count = 0
        """Readings so far."""

    def series_id(
        self, name: str, address: str, unit: str = "", resolution: float | None = None, *, wait: bool = False
    ) -> int:
        """Return the id of a series."""
        origin = Origin("source", address)
        return self._registry.series_id(name, origin, self._clock(), unit, resolution, beside=not wait)

    def extend(
        self,
        series_ids: Sequence[int],
        times_ms: Sequence[int],
        values: Sequence[float],
        qualities: Sequence[int],
        arrived: float,
    ) -> None:
        """Print readings."""
        for series_id, time_ms, value, quality in zip(series_ids, times_ms, values, qualities, strict=True):
            series = self._registry[series_id]
            self._show(line(series.name, value, series.unit, time_ms, quality))
        self.count += len(series_ids)

    def when_stored(self, acknowledge: Callable[[], None]) -> None:
        """Acknowledge nothing: the broker keeps what a trial reads."""

    def reject(self, reason: str, text: str, count: int = 1, *, key: str = "") -> None:
        """Print what is rejected."""
        self._show(f"{reason}: {text}")


def entries(document: Any) -> list[Entry]:
    """Return the entries of a configuration, of a list of entries, or one entry; raises CommandError."""
    given = document.get("sources", [document]) if isinstance(document, Mapping) else document
    if isinstance(given, list):
        given = [{"name": "trial", **one} if isinstance(one, Mapping) else one for one in given]
    try:
        return list(read_entries(given))
    except ConfigError as error:
        raise CommandError("; ".join(error.problems)) from error
    except ValueError as error:
        raise CommandError(f"expected an entry, or {error}") from error


def bindings(document: Mapping[str, Any], topic: str) -> list[Binding]:
    """Return the bindings of an MQTT entry whose pattern matches a topic; raises CommandError."""
    keys = {key: value for key, value in document.items() if key not in ("name", "kind")}
    try:
        found = read_bindings(keys, ["sensors/{device}/{channel}"])
    except ConfigError as error:
        raise CommandError("; ".join(error.problems)) from error
    return [one for one in found if one.pattern.match(topic) is not None]


def try_payload(document: Mapping[str, Any], topic: str, payload: bytes, now_ms: int, show: Print) -> int:
    """Print the readings that a mapping makes of a payload and what it rejects; return the number of readings.

    Raises CommandError for a mapping that cannot work, and for a topic that no pattern matches.
    """
    matching = bindings(document, topic)
    if not matching:
        raise CommandError(f"topic {topic}: no pattern of the entry matches it")
    decoder = Decoder(matching[0])
    columns = decoder.decode([topic.encode()], [payload])
    count = 0
    for at, field in enumerate(columns.fields):
        try:
            name = decoder.name(topic, field)
            time_ms, replaced = decoder.times.one(columns.times[at], now_ms)
        except RejectedError as error:
            show(f"{error.reason}: {error}")
            continue
        quality = max(columns.qualities[at], Quality.UNCERTAIN) if replaced else columns.qualities[at]
        show(line(name, columns.values[at], decoder.unit(field, columns.units[at], name), time_ms, quality))
        count += 1
    for _index, rejection in columns.rejections:
        show(f"{rejection.reason}: {rejection}")
    if columns.skipped:
        show(f"fields_skipped: {columns.skipped} fields are not measurements")
    if columns.nulls:
        show(f"rejected_null: {columns.nulls} fields are null")
    return count
