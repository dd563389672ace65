"""Payloads of Sparkplug B as protocol buffers. Pure.

Only the parts of the format that a node of measured values needs.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

UINT64, DOUBLE, BOOLEAN = 8, 10, 11
"""Codes of the data types."""

_STRING = 12
_VARINT, _FIXED64, _BYTES = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric; without a ``name`` it is identified by its ``alias``. ``value`` None is null."""

    name: str
    value: float | bool | None
    datatype: int = DOUBLE
    alias: int | None = None
    time_ms: int | None = None
    unit: str = ""


def encode(metrics: Sequence[Metric], time_ms: int, sequence: int | None) -> bytes:
    """Return a payload; a death certificate of a node has no sequence number."""
    body = _number(1, time_ms) + b"".join(_bytes(2, _metric(metric)) for metric in metrics)
    return body if sequence is None else body + _number(3, sequence)


def _metric(metric: Metric) -> bytes:
    out = _bytes(1, metric.name.encode()) if metric.name else b""
    if metric.alias is not None:
        out += _number(2, metric.alias)
    if metric.time_ms is not None:
        out += _number(3, metric.time_ms)
    out += _number(4, metric.datatype)
    if metric.unit:
        # A property set: its keys, then its values, each with a type.
        text = _number(1, _STRING) + _bytes(8, metric.unit.encode())
        out += _bytes(9, _bytes(1, b"engUnit") + _bytes(2, text))
    if metric.value is None:
        return out + _number(7, 1)
    if metric.datatype == DOUBLE:
        return out + varint(13 << 3 | _FIXED64) + struct.pack("<d", metric.value)
    return out + _number(14 if metric.datatype == BOOLEAN else 11, int(metric.value))


def _number(field: int, value: int) -> bytes:
    return varint(field << 3 | _VARINT) + varint(value)


def _bytes(field: int, content: bytes) -> bytes:
    return varint(field << 3 | _BYTES) + varint(len(content)) + content


def varint(value: int) -> bytes:
    """Return a number of at least 0 in groups of seven bits."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))
