"""A sink that reports readings and rejections, and the run of a mapping on one payload."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

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


class Report(Protocol):
    """Receiver of the readings and rejections of a trial."""

    def reading(self, name: str, value: float, unit: str, time_ms: int, quality: int) -> None:
        """Report a reading."""

    def rejected(self, reason: str, text: str) -> None:
        """Report a rejection, or something else that needs attention."""


@dataclass(slots=True)
class TextReport:
    """A line of text for each reading and each rejection."""

    show: Print

    def reading(self, name: str, value: float, unit: str, time_ms: int, quality: int) -> None:
        """Print a reading."""
        self.show(line(name, value, unit, time_ms, quality))

    def rejected(self, reason: str, text: str) -> None:
        """Print a rejection."""
        self.show(f"{reason}: {text}")


@dataclass(slots=True)
class CollectedReport:
    """Readings and rejections as objects for JSON; a value that JSON does not have is None."""

    readings: list[dict[str, Any]] = field(default_factory=list)
    rejections: list[dict[str, str]] = field(default_factory=list)

    def reading(self, name: str, value: float, unit: str, time_ms: int, quality: int) -> None:
        """Add a reading."""
        known = float(value) if math.isfinite(value) else None
        one = {"series": name, "value": known, "unit": unit, "time_ms": int(time_ms)}
        self.readings.append(one | {"quality": Quality(quality).name.lower()})

    def rejected(self, reason: str, text: str) -> None:
        """Add a rejection."""
        self.rejections.append({"reason": reason, "text": text})

    def to_dict(self) -> dict[str, Any]:
        """Return the object for JSON."""
        return {"readings": self.readings, "rejections": self.rejections}


class TrialSink:
    """A sink that reports each reading and each rejection; see edge_components.sensor_reader.sources.Sink."""

    def __init__(self, report: Report, clock: Callable[[], float] = time.monotonic) -> None:
        self._report, self._clock = report, clock
        self._registry = SourceSeries({}, MAX_SERIES)
        self._registry.on_collision = lambda name, first, second: report.rejected(
            "series_collisions", f"{first.address} and {second.address} give one name; the second is {name}"
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
        """Report readings."""
        for series_id, time_ms, value, quality in zip(series_ids, times_ms, values, qualities, strict=True):
            series = self._registry[series_id]
            self._report.reading(series.name, value, series.unit, time_ms, quality)
        self.count += len(series_ids)

    def when_stored(self, acknowledge: Callable[[], None]) -> None:
        """Acknowledge nothing: the broker keeps what a trial reads."""

    def reject(self, reason: str, text: str, count: int = 1, *, key: str = "") -> None:
        """Report a rejection."""
        self._report.rejected(reason, text)


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


def try_payload(document: Mapping[str, Any], topic: str, payload: bytes, now_ms: int, report: Report) -> int:
    """Report the readings and rejections of a mapping on a payload, and return the number of readings.

    Raises CommandError for a mapping that cannot work, and for a topic that no pattern matches.
    """
    matching = bindings(document, topic)
    if not matching:
        raise CommandError(f"topic {topic}: no pattern of the entry matches it")
    decoder = Decoder(matching[0])
    columns = decoder.decode([topic.encode()], [payload])
    count = 0
    for at, name_of_field in enumerate(columns.fields):
        try:
            name = decoder.name(topic, name_of_field)
            time_ms, replaced = decoder.times.one(columns.times[at], now_ms)
        except RejectedError as error:
            report.rejected(error.reason, str(error))
            continue
        quality = max(columns.qualities[at], Quality.UNCERTAIN) if replaced else columns.qualities[at]
        report.reading(name, columns.values[at], decoder.unit(name_of_field, columns.units[at], name), time_ms, quality)
        count += 1
    for _index, rejection in columns.rejections:
        report.rejected(rejection.reason, str(rejection))
    if columns.skipped:
        report.rejected("fields_skipped", f"{columns.skipped} fields are not measurements")
    if columns.nulls:
        report.rejected("rejected_null", f"{columns.nulls} fields are null")
    return count
