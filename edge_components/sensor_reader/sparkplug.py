"""The payload of Sparkplug B, from its protocol buffers. Pure.

Only what carries measurements is read; data sets, templates and files are left out. Lengths are checked against the
bytes that are there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from edge_components.sensor_reader.errors import RejectedError

MAX_METRICS = 10_000
_SIGNED = {1: 8, 2: 16, 3: 32, 4: 64}
"""Bits of the signed integer types, which are sent in two's complement."""
_BOOLEAN = 11
NUMERIC = frozenset(range(1, _BOOLEAN + 1))
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MASK = 2**64 - 1
_FLOAT, _DOUBLE = struct.Struct("<f"), struct.Struct("<d")
_OTHER_TYPE = "a value of another type than its field has"
_NO_PROPERTIES: Mapping[str, Any] = MappingProxyType({})


class Metric(NamedTuple):
    """One metric; ``value`` is None for null and for a type that is not a number."""

    name: str = ""
    alias: int | None = None
    timestamp: int | None = None
    datatype: int = 0
    historical: bool = False
    value: float | int | bool | None = None
    properties: Mapping[str, Any] = _NO_PROPERTIES


@dataclass(slots=True)
class Payload:
    """One message."""

    timestamp: int | None = None
    sequence: int | None = None
    metrics: list[Metric] = field(default_factory=list)


def decode(data: bytes) -> Payload:
    """Decode a message; raises RejectedError (``rejected_sparkplug``)."""
    payload = Payload()
    for number, value in _fields(data, 0, len(data)):
        if number == 1 and isinstance(value, int):
            payload.timestamp = value
        elif number == 2 and isinstance(value, slice):
            if len(payload.metrics) >= MAX_METRICS:
                raise _malformed(f"more than {MAX_METRICS} metrics")
            payload.metrics.append(_metric(data, value.start, value.stop))
        elif number == 3 and isinstance(value, int):
            payload.sequence = value
    return payload


def rebirth_request(timestamp_ms: int = 0) -> bytes:
    """Return the command that asks a node for its birth certificates."""
    name = b"Node Control/Rebirth"
    metric = b"\x0a" + bytes((len(name),)) + name + b"\x20\x0b\x70\x01"
    time = b"\x08" + _varint(timestamp_ms) if timestamp_ms else b""
    return time + b"\x12" + bytes((len(metric),)) + metric


def _metric(data: bytes, at: int, end: int) -> Metric:  # noqa: C901 # a case a field, without calls
    """Decode the metric in ``data[at:end]``. This runs once a reading: numbers of one byte are read in place."""
    name, alias, timestamp, datatype, historical, null = "", None, None, 0, False, False
    raw: Any = None
    properties = _NO_PROPERTIES
    while at < end:
        key = data[at]
        at += 1
        if key > 127:
            key, at = _read_varint(data, at - 1, end)
        kind = key & 7
        if kind == _VARINT:
            if at >= end:
                raise _malformed("ends within a number")
            value = data[at]
            at += 1
            if value > 127:
                value, at = _read_varint(data, at - 1, end)
            if key == 0x10:
                alias = value
            elif key == 0x18:
                timestamp = value
            elif key == 0x20:
                datatype = value
            elif key == 0x28:
                historical = bool(value)
            elif key == 0x38:
                null = bool(value)
            elif key in (0x50, 0x58):
                raw = value
            elif key == 0x70:
                raw = bool(value)
            elif key in (0x60, 0x68):
                raise _malformed(_OTHER_TYPE)
        elif kind == _FIXED64:
            if end - at < 8:
                raise _malformed(f"a field of 8 bytes, {end - at} are left")
            if key == 0x69:
                (raw,) = _DOUBLE.unpack_from(data, at)
            elif 10 <= key >> 3 <= 14:
                raise _malformed(_OTHER_TYPE)
            at += 8
        elif kind == _FIXED32:
            if end - at < 4:
                raise _malformed(f"a field of 4 bytes, {end - at} are left")
            if key == 0x65:
                (raw,) = _FLOAT.unpack_from(data, at)
            elif 10 <= key >> 3 <= 14:
                raise _malformed(_OTHER_TYPE)
            at += 4
        elif kind == _BYTES:
            size, at = _read_varint(data, at, end)
            if size > end - at:
                raise _malformed(f"a field of {size} bytes, {end - at} are left")
            if key == 0x0A:
                name = data[at : at + size].decode(errors="replace")
            elif key == 0x4A:
                properties = _properties(data, at, at + size)
            elif 10 <= key >> 3 <= 14:
                raise _malformed(_OTHER_TYPE)
            at += size
        else:
            raise _malformed(f"wire type {kind}")
        if key < 8:
            raise _malformed("a field with number 0")
    return Metric(name, alias, timestamp, datatype, historical, None if null else raw, properties)


def signed(value: float | bool, datatype: int) -> float | bool:
    """Return a value as its data type means it: signed integers are sent in two's complement."""
    bits = _SIGNED.get(datatype)
    if bits is not None and isinstance(value, int) and not isinstance(value, bool):
        value &= (1 << bits) - 1
        return value - (1 << bits) if value >> (bits - 1) else value
    return bool(value) if datatype == _BOOLEAN else value


def _properties(data: bytes, begin: int, end: int) -> dict[str, Any]:
    keys, values = [], []
    for number, value in _fields(data, begin, end):
        if number == 1 and isinstance(value, slice):
            keys.append(data[value].decode(errors="replace"))
        elif number == 2 and isinstance(value, slice):
            values.append(_property(data, value.start, value.stop))
    return dict(zip(keys, values, strict=False))


def _property(data: bytes, begin: int, end: int) -> Any:
    found: int | str | None = None
    for number, value in _fields(data, begin, end):
        if number in (3, 4, 7) and isinstance(value, int):
            found = value
        elif number == 8 and isinstance(value, slice):
            found = data[value].decode(errors="replace")
    return found


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int | slice]]:
    """Yield each field's number and value: an integer, or the extent of its bytes."""
    while at < end:
        key, at = _read_varint(data, at, end)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise _malformed("a field with number 0")
        if kind == _VARINT:
            value, at = _read_varint(data, at, end)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _read_varint(data, at, end)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise _malformed(f"wire type {kind}")
        if size > end - at:
            raise _malformed(f"a field of {size} bytes, {end - at} are left")
        yield number, slice(at, at + size)
        at += size


def _read_varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end:
        octet = data[at]
        at += 1
        value |= (octet & 127) << shift
        if octet < 128:
            return value & _MASK, at
        shift += 7
        if shift == 70:
            raise _malformed("a number of more than ten bytes")
    raise _malformed("ends within a number")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def _malformed(text: str) -> RejectedError:
    return RejectedError("rejected_sparkplug", f"not a Sparkplug B payload: {text}")
