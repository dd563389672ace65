"""Sensor Measurement Lists (RFC 8428) posted over HTTP, as JSON or CBOR: base fields, times, one fault a record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cloud_functions.core.errors import RequestError
from cloud_functions.core.telemetry import (
    MAX_READINGS,
    FaultError,
    Posted,
    Reading,
    arrival_of,
    check_time,
    content_id,
    number,
)
from wire import cbor
from wire.errors import FormatError, ModelError
from wire.model import Series, check_gateway

RELATIVE_BELOW = 2**28
"""Seconds below which a time is a distance from now (section 4.5.3)."""
MAX_VERSION = 10
MAX_ITEMS = 40 * MAX_READINGS
"""Items of CBOR in a pack: each record is one, and so is each of its keys and values."""
LABELS = {-1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs"} | dict(
    enumerate(("n", "u", "v", "vs", "vb", "s", "t", "ut", "vd"))
)
"""Numbers of the fields in CBOR."""
_BASE = ("bn", "bt", "bu", "bv", "bs", "bver")
_VALUES = ("v", "vb", "vs", "vd", "s")


def read_cbor(data: bytes) -> Any:
    """Return a pack of CBOR (section 6) with the names that JSON has; raises RequestError."""
    try:
        pack = cbor.decode(data, MAX_ITEMS)
    except FormatError as error:
        raise RequestError([f"body: {str(error)[:200]}"]) from error
    return [_named(record) for record in pack] if isinstance(pack, list) else pack


def _named(record: Any) -> Any:
    if not isinstance(record, Mapping):
        return record
    return {LABELS.get(key, key) if type(key) is int else key: value for key, value in record.items()}


def read_senml(pack: Any, now_ms: int, gateway: str | None, content: bytes) -> Posted:
    """Read a pack of records for the gateway that the path names; the id is that of the content.

    Raises RequestError for a pack that is not a list of records, and without a gateway.
    """
    if gateway is None:
        raise RequestError(["gateway: SenML names no gateway: use the path /v1/gateways/{gateway}/telemetry"])
    try:
        check_gateway(gateway)
    except ModelError as error:
        raise RequestError([str(error)]) from error
    if not isinstance(pack, list) or not 1 <= len(pack) <= MAX_READINGS:
        found = f"a list of {len(pack)}" if isinstance(pack, list) else type(pack).__name__
        raise RequestError([f"body: {found}: a list of 1 to {MAX_READINGS} records"])
    records, readings, faults = _Records(now_ms), list[Reading](), list[tuple[int, str]]()
    for at, record in enumerate(pack):
        try:
            reading = records.read(record)
            readings += [] if reading is None else [reading]
        except (FaultError, ModelError) as error:
            faults.append((at, str(error)[:300]))
    return Posted(arrival_of(readings, gateway, content_id(content), now_ms), faults)


class _Records:
    """Resolves records one after the other: base fields hold from their record on."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._base: dict[str, Any] = {}

    def read(self, record: Any) -> Reading | None:
        """Return the reading of a record, None for one with base fields only; raises FaultError or ModelError."""
        if not isinstance(record, Mapping):
            raise FaultError(f"{type(record).__name__}: a record is an object")
        unknown = [key for key in record if isinstance(key, str) and key.endswith("_")]
        if unknown:
            raise FaultError(f"{unknown[0][:40]}: the field must be understood, and is not known")
        self._base |= {key: record[key] for key in _BASE if key in record}
        kinds = [key for key in _VALUES if key in record]
        if not kinds:
            return None
        if number(self._base.get("bver", MAX_VERSION), "bver") > MAX_VERSION:
            raise FaultError(f"bver: {self._base['bver']!r:.40}: {MAX_VERSION} at most")
        name = _text(self._base.get("bn", ""), "bn") + _text(record.get("n", ""), "n")
        unit = _text(record.get("u", self._base.get("bu", "")), "u")
        return Reading(Series(name, unit), self._time(record), self._value(record, kinds[0]))

    def _value(self, record: Mapping[str, Any], kind: str) -> float:
        value = record[kind]
        if kind == "v":
            return number(value, "v") + number(self._base.get("bv", 0), "bv")
        if kind == "s":
            return number(value, "s") + number(self._base.get("bs", 0), "bs")
        if kind == "vb" and isinstance(value, bool):
            return float(value)
        raise FaultError(f"{kind}: {value!r:.40}: v, s and vb can be stored")

    def _time(self, record: Mapping[str, Any]) -> int:
        seconds = number(self._base.get("bt", 0), "bt") + number(record.get("t", 0), "t")
        if not math.isfinite(seconds) or abs(seconds) >= 2**40:
            raise FaultError(f"t: {seconds:g} s: seconds since 1970, or relative to now")
        milliseconds = round(seconds * 1000)
        return check_time(milliseconds + (self._now_ms if seconds < RELATIVE_BELOW else 0), "t", self._now_ms)


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str):
        raise FaultError(f"{key}: {value!r:.40}: a text")
    return value
