"""The payload of Sparkplug B, from its protocol buffers. Pure.

Only what carries measurements is read; data sets, templates and files are left out. Lengths are checked against the
bytes that are there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from edge_components.sensor_reader.errors import RejectedError

MAX_METRICS = 10_000
_SIGNED = {1: 8, 2: 16, 3: 32, 4: 64}
"""Bits of the signed integer types, which are sent in two's complement."""
_BOOLEAN = 11
NUMERIC = frozenset(range(1, _BOOLEAN + 1))
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(slots=True)
class Metric:
    """One metric; ``value`` is None for null and for a type that is not a number."""

    name: str = ""
    alias: int | None = None
    timestamp: int | None = None
    datatype: int = 0
    historical: bool = False
    null: bool = False
    value: float | int | bool | None = None
    properties: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Payload:
    """One message."""

    timestamp: int | None = None
    sequence: int | None = None
    metrics: list[Metric] = field(default_factory=list)


def decode(data: bytes) -> Payload:
    """Decode a message; raises RejectedError (``rejected_sparkplug``)."""
    payload = Payload()
    for number, value in _fields(data):
        if number == 1 and isinstance(value, int):
            payload.timestamp = value
        elif number == 2 and isinstance(value, bytes):
            if len(payload.metrics) >= MAX_METRICS:
                raise _malformed(f"more than {MAX_METRICS} metrics")
            payload.metrics.append(_metric(value))
        elif number == 3 and isinstance(value, int):
            payload.sequence = value
    return payload


def rebirth_request(timestamp_ms: int = 0) -> bytes:
    """Return the command that asks a node for its birth certificates."""
    name = b"Node Control/Rebirth"
    metric = b"\x0a" + bytes((len(name),)) + name + b"\x20\x0b\x70\x01"
    time = b"\x08" + _varint(timestamp_ms) if timestamp_ms else b""
    return time + b"\x12" + bytes((len(metric),)) + metric


def _metric(data: bytes) -> Metric:  # noqa: C901 # a case a field
    metric, raw, number_of_value = Metric(), None, 0
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            metric.name = value.decode(errors="replace")
        elif number == 2 and isinstance(value, int):
            metric.alias = value
        elif number == 3 and isinstance(value, int):
            metric.timestamp = value
        elif number == 4 and isinstance(value, int):
            metric.datatype = value
        elif number == 5:
            metric.historical = bool(value)
        elif number == 7:
            metric.null = bool(value)
        elif number == 9 and isinstance(value, bytes):
            metric.properties = _properties(value)
        elif 10 <= number <= 14:
            raw, number_of_value = value, number
    if raw is not None and not metric.null:
        metric.value = _value(raw, number_of_value)
    return metric


def signed(value: float | bool, datatype: int) -> float | bool:
    """Return a value as its data type means it: signed integers are sent in two's complement."""
    bits = _SIGNED.get(datatype)
    if bits is not None and isinstance(value, int) and not isinstance(value, bool):
        value &= (1 << bits) - 1
        return value - (1 << bits) if value >> (bits - 1) else value
    return bool(value) if datatype == _BOOLEAN else value


def _value(raw: int | bytes, number: int) -> float | int | bool | None:
    if number in (10, 11) and isinstance(raw, int):
        return raw
    if number == 12 and isinstance(raw, bytes) and len(raw) == 4:
        return float(struct.unpack("<f", raw)[0])
    if number == 13 and isinstance(raw, bytes) and len(raw) == 8:
        return float(struct.unpack("<d", raw)[0])
    if number == 14 and isinstance(raw, int):
        return bool(raw)
    raise _malformed("a value of another type than its field has")


def _properties(data: bytes) -> dict[str, Any]:
    keys, values = [], []
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            keys.append(value.decode(errors="replace"))
        elif number == 2 and isinstance(value, bytes):
            values.append(_property(value))
    return dict(zip(keys, values, strict=False))


def _property(data: bytes) -> Any:
    found: int | str | None = None
    for number, value in _fields(data):
        if number in (3, 4, 7) and isinstance(value, int):
            found = value
        elif number == 8 and isinstance(value, bytes):
            found = value.decode(errors="replace")
    return found


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield each field's number and value: an integer, or the bytes of it."""
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise _malformed("a field with number 0")
        if kind == _VARINT:
            value, at = _read_varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _read_varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise _malformed(f"wire type {kind}")
        if size > len(data) - at:
            raise _malformed(f"a field of {size} bytes, {len(data) - at} are left")
        yield number, data[at : at + size]
        at += size


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise _malformed("ends within a number")
        octet = data[at]
        at += 1
        value |= (octet & 127) << shift
        if octet < 128:
            return value & (2**64 - 1), at
    raise _malformed("a number of more than ten bytes")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def _malformed(text: str) -> RejectedError:
    return RejectedError("rejected_sparkplug", f"not a Sparkplug B payload: {text}")
