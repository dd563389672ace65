"""Parsing of JSON payloads into a value, a time and a quality. Pure.

Two forms: a bare number, or an object whose keys are configured (a dot descends into an object in an object). Payloads
are parsed many at a time, in one call of the JSON parser, separated by random numbers, so that a payload that is not a
complete JSON value cannot shift the others. If anything is invalid, they are parsed one by one.
"""

from __future__ import annotations

import codecs
import json
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from edge_components.sensor_reader.errors import EmptyPayloadError, RejectedError
from edge_components.sensor_reader.mapping import values as values_
from wire.limits import MAX_VALUE
from wire.model import Quality

_DECODER = json.JSONDecoder()
_MISSING = object()


class ParsedPayload(NamedTuple):
    """A payload's fields; ``time`` is as written, None where absent."""

    value: float
    time: Any
    quality: int


@dataclass(slots=True)
class ParsedPayloads:
    """The fields of many payloads as columns of equal length; a payload in ``errors`` has placeholders there."""

    values: list[float] = field(default_factory=list)
    times: list[Any] = field(default_factory=list)
    qualities: list[int] = field(default_factory=list)
    errors: dict[int, RejectedError] = field(default_factory=dict)


class JsonDecoder:
    """Decoder of many payloads in one call of the JSON parser."""

    def __init__(self) -> None:
        self._separator = secrets.randbelow(9 * 10**11) + 10**11
        self._joint = b",%d," % self._separator

    def decode_all(self, payloads: Sequence[bytes], errors: dict[int, RejectedError]) -> list[Any]:
        """Return the JSON value of each payload; for an invalid one, None, with the error in ``errors``."""
        if len(payloads) > 1:
            try:
                found = _DECODER.decode((b"[" + self._joint.join(payloads) + b"]").decode())
            except (ValueError, RecursionError):
                found = []
            if len(found) == 2 * len(payloads) - 1 and found[1::2] == [self._separator] * (len(payloads) - 1):
                bodies: list[Any] = found[::2]
                return bodies
        bodies = []
        for index, payload in enumerate(payloads):
            try:
                bodies.append(decode_json(payload))
            except RejectedError as error:
                errors[index] = error
                bodies.append(None)
        return bodies


class PayloadParser:
    """A parser for the keys given; an empty time, quality or unit key means that payloads have none."""

    def __init__(self, value_key: str, time_key: str, quality_key: str, unit_key: str = "") -> None:
        self._value, self._time, self._quality, self._unit = (
            tuple(filter(None, key.split("."))) for key in (value_key, time_key, quality_key, unit_key)
        )
        self._value_key = value_key
        self._decoder = JsonDecoder()

    def parse(self, payload: bytes) -> ParsedPayload:
        """Parse one payload; raises RejectedError with the reason, EmptyPayloadError for an empty one."""
        return self._fields(decode_json(payload), payload)

    def unit(self, payload: bytes) -> str:
        """Return the unit that a payload of :meth:`parse` has, as its key or behind the number, empty for none."""
        body = decode_json(payload)
        found = _at(body, self._unit) if self._unit else _MISSING
        if isinstance(found, str):
            return found
        value = _at(body, self._value) if isinstance(body, dict) else body
        return values_.unit_in(value, values_.PLAIN) if isinstance(value, str) else ""

    def parse_all(self, payloads: Sequence[bytes]) -> ParsedPayloads:
        """Parse payloads; a rejected one is in ``errors`` by its index and does not affect others."""
        parsed = ParsedPayloads()
        bodies = self._decoder.decode_all(payloads, parsed.errors)
        values, times, qualities = parsed.values.append, parsed.times.append, parsed.qualities.append
        flat = len(self._value) == 1 and len(self._time) <= 1 and len(self._quality) <= 1
        value_key = self._value[0] if self._value else None
        time_key = self._time[0] if self._time else None
        quality_key = self._quality[0] if self._quality else None
        for index, body in enumerate(bodies):
            value = body
            time = quality = None
            if type(body) is dict and flat:
                value = body.get(value_key)
                if time_key is not None:
                    time = body.get(time_key)
                if quality_key is not None:
                    quality = body.get(quality_key)
            if quality is None and (type(value) is float or type(value) is int) and -MAX_VALUE <= value <= MAX_VALUE:
                values(value)
                times(time)
                qualities(0)
                continue
            fields = _NOTHING
            if index not in parsed.errors:
                try:
                    fields = self._fields(body, payloads[index])
                except RejectedError as error:
                    parsed.errors[index] = error
            values(fields.value)
            times(fields.time)
            qualities(fields.quality)
        return parsed

    def _fields(self, body: Any, payload: bytes) -> ParsedPayload:
        if not isinstance(body, dict):
            return ParsedPayload(values_.number(body), None, Quality.GOOD)
        value = _at(body, self._value)
        if value is _MISSING:
            raise RejectedError("rejected_value", f"the key {self._value_key!r} is missing in {payload[:80]!r}")
        time = _at(body, self._time) if self._time else None
        quality = _at(body, self._quality) if self._quality else None
        return ParsedPayload(
            values_.number(value),
            None if time is _MISSING else time,
            int(Quality.GOOD) if quality is _MISSING else values_.quality(quality),
        )


_NOTHING = ParsedPayload(math.nan, None, Quality.GOOD)


def decode_json(payload: bytes) -> Any:
    """Return the JSON value of a payload, without a UTF-8 byte order mark and the trailing NULs of a C string."""
    content = payload.removeprefix(codecs.BOM_UTF8).rstrip(b"\0")
    if not content:
        raise EmptyPayloadError
    try:
        return _DECODER.decode(content.decode())
    except (ValueError, RecursionError) as error:
        raise RejectedError("rejected_json", f"not JSON: {str(error)[:80]}: {payload[:40]!r}") from error


def _at(body: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(body, dict) or key not in body:
            return _MISSING
        body = body[key]
    return body
