"""Decode payloads with a binding without a source."""

from __future__ import annotations

from typing import Any

from edge_components.sensor_reader.formats import Columns
from edge_components.sensor_reader.mapping.bindings import read_bindings
from edge_components.sensor_reader.mapping.decoder import Decoder

ARRIVAL_MS = 1_700_000_000_000


def decoder(topic: str = "t/{device}", **keys: Any) -> Decoder:
    """Return the decoder of one topic pattern."""
    (binding,) = read_bindings({"topics": [{"topic": topic, **keys}]}, [])
    return Decoder(binding)


def readings(used: Decoder, payload: bytes, topic: str = "t/d") -> list[tuple[str, float, int, int, str]]:
    """Return name, value, time, quality and unit of each reading in a payload."""
    return read(used, used.decode([topic.encode()], [payload]), topic)


def read(used: Decoder, columns: Columns, topic: str = "t/d") -> list[tuple[str, float, int, int, str]]:
    """Return the readings of columns whose payloads came on one topic."""
    found = []
    parts = zip(columns.fields, columns.values, columns.times, columns.qualities, columns.units, strict=True)
    for field, value, time, quality, unit in parts:
        name = used.name(topic, field)
        time_ms = used.times.one(time, ARRIVAL_MS)[0]
        found.append((name, value, time_ms, quality, used.unit(field, unit, name)))
    return found


def reasons(used: Decoder, payload: bytes, topic: str = "t/d") -> list[str]:
    """Return the reasons for which measurements of a payload are rejected."""
    return [error.reason for _index, error in used.decode([topic.encode()], [payload]).rejections]
