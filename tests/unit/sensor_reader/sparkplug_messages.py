"""Sparkplug B messages for tests, written as protocol buffers."""

from __future__ import annotations

import struct
from typing import Any

INT8, INT32, INT64, DOUBLE, BOOLEAN, TEXT = 1, 3, 4, 10, 11, 12


def varint(value: int) -> bytes:
    """Return a number in groups of seven bits."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def field(number: int, content: int | bytes) -> bytes:
    """Return one field: a number, or bytes with their length."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def metric(
    name: str = "",
    value: Any = None,
    datatype: int = DOUBLE,
    *,
    alias: int | None = None,
    time: int | None = None,
    historical: bool = False,
    null: bool = False,
    properties: dict[str, Any] | None = None,
) -> bytes:
    """Return one metric."""
    out = field(1, name.encode()) if name else b""
    out += field(2, alias) if alias is not None else b""
    out += field(3, time) if time is not None else b""
    out += field(4, datatype)
    out += field(5, 1) if historical else b""
    out += field(7, 1) if null else b""
    if properties:
        sets = b"".join(field(1, key.encode()) for key in properties)
        sets += b"".join(field(2, _property(one)) for one in properties.values())
        out += field(9, sets)
    if value is None:
        return out
    if datatype == DOUBLE:
        return out + varint(13 << 3 | 1) + struct.pack("<d", value)
    if datatype == BOOLEAN:
        return out + field(14, int(value))
    if datatype == TEXT:
        return out + field(15, value.encode())
    bits = 64 if datatype == INT64 else 32
    return out + field(11 if datatype == INT64 else 10, value % (1 << bits))


def _property(value: Any) -> bytes:
    return field(8, value.encode()) if isinstance(value, str) else field(3, value)


def message(*metrics: bytes, time: int | None = 1_699_999_990_000, sequence: int | None = None) -> bytes:
    """Return one message."""
    out = field(1, time) if time is not None else b""
    out += b"".join(field(2, one) for one in metrics)
    return out + (field(3, sequence) if sequence is not None else b"")
