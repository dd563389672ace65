"""Readings that arrive over HTTP: the valid ones are stored as a batch like any other, each other one is a fault.

Epoch and sequence are derived from the client's id, or from the content without one, so a request that is sent again is
stored once.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cloud_functions.core.arrival import Arrival, Envelope
from cloud_functions.core.errors import RequestError
from wire import codec
from wire.errors import ModelError, TooLargeError
from wire.model import MAX_SEQUENCE, Batch, Quality, Readings, Series, check_gateway
from wire.summary import read_name

MAX_READINGS = 5_000
MAX_BYTES = 350_000
"""Maximum bytes of an encoded request, less than an item of the store can contain."""
EARLIEST_MS = 946_684_800_000
"""2000-01-01: an earlier time is from a clock that was not set, or in seconds instead of milliseconds."""
AHEAD_MS = 86_400_000
LANE = "http"

_KEYS = {"series", "time", "value", "unit", "resolution", "quality"}
_QUALITIES = {quality.name.lower(): quality for quality in Quality}


class Reading(NamedTuple):
    """One valid reading."""

    series: Series
    time_ms: int
    value: float
    quality: int = Quality.GOOD


class FaultError(Exception):
    """Fault of one item of a request, as a sentence that begins with the key."""


@dataclass(frozen=True, slots=True)
class Posted:
    """Readings of a request as the arrival of a batch, None without a valid one; ``faults`` by index of the item."""

    arrival: Arrival | None
    faults: list[tuple[int, str]]


def read_telemetry(body: Any, now_ms: int, gateway: str | None, content: bytes) -> Posted:
    """Read ``{"id", "gateway", "readings": [{"series", "time", "value", ...}]}``.

    ``gateway`` is the one that the request's path names, if any; ``content`` are the bytes of the body. Raises
    RequestError for a request that has no readings of a gateway at all.
    """
    if not isinstance(body, dict):
        raise RequestError([f"body: a JSON object, not {type(body).__name__}"])
    problems = [f"{name[:40]}: no such key; there are id, gateway, readings" for name in body if name not in _REQUEST]
    name, gateway = _id(body, content, problems), _gateway(body, gateway, problems)
    items = body.get("readings")
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_READINGS:
        found = f"a list of {len(items)}" if isinstance(items, list) else type(items).__name__
        problems.append(f"readings: {found}: a list of 1 to {MAX_READINGS}")
    if problems:
        raise RequestError(problems)
    readings: list[Reading] = []
    faults: list[tuple[int, str]] = []
    for at, item in enumerate(items if isinstance(items, list) else ()):
        try:
            readings.append(_reading(item, now_ms))
        except (FaultError, ModelError) as error:
            faults.append((at, str(error)[:300]))
    return Posted(arrival_of(readings, gateway, name, now_ms), faults)


_REQUEST = ("id", "gateway", "readings")


def arrival_of(readings: Iterable[Reading], gateway: str, name: str, now_ms: int) -> Arrival | None:
    """Return the arrival of a batch with readings, None without any; raises RequestError for too many bytes.

    ``name`` is the id of the request.
    """
    rows = list(readings)
    if not rows:
        return None
    directory: dict[Series, int] = {}
    index = [directory.setdefault(row.series, len(directory)) for row in rows]
    columns = Readings(
        tuple(directory),
        np.array(index, np.int64),
        np.array([row.time_ms for row in rows], np.int64),
        np.array([row.value for row in rows], np.float64),
        np.array([row.quality for row in rows], np.uint8),
    )
    digest = hashlib.sha256(f"http#{name}".encode()).digest()
    epoch, sequence = int.from_bytes(digest[:8]), int.from_bytes(digest[8:16]) % MAX_SEQUENCE + 1
    try:
        data = codec.encode(Batch(gateway, epoch, sequence, columns), MAX_BYTES, coders=codec.FAST)
    except (ModelError, TooLargeError) as error:
        raise RequestError([f"readings: {error}"]) from error
    return Arrival(Envelope(data, gateway, LANE, "", now_ms), read_name(data))


def check_time(time_ms: Any, key: str, now_ms: int) -> int:
    """Return a time; raises FaultError for one that is not a whole number from 2000 to a day ahead of now."""
    if type(time_ms) is not int or not EARLIEST_MS <= time_ms <= now_ms + AHEAD_MS:
        raise FaultError(
            f"{key}: {time_ms!r:.40}: a whole number of milliseconds since 1970, from 2000 to a day ahead of now"
        )
    return time_ms


def number(value: Any, key: str) -> float:
    """Return a finite number; raises FaultError for anything else."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except OverflowError:
        pass
    raise FaultError(f"{key}: {value!r:.40}: a finite number")


def content_id(content: bytes) -> str:
    """Return the id of a request that has none: the same content is stored once."""
    return f"content {hashlib.sha256(content).hexdigest()}"


def _id(body: Mapping[str, Any], content: bytes, problems: list[str]) -> str:
    name = body.get("id")
    if name is None:
        return content_id(content)
    if isinstance(name, str) and 1 <= len(name) <= 128 and name.isprintable():
        return name
    problems.append(f"id: {name!r:.80}: 1 to 128 printable characters, new for each request and kept when it is resent")
    return ""


def _gateway(body: Mapping[str, Any], path: str | None, problems: list[str]) -> str:
    name = body.get("gateway", path)
    if path is not None and name != path:
        problems.append(f"gateway: {name!r:.80}: the path names {path[:140]}")
        return ""
    try:
        if not isinstance(name, str):
            raise ModelError(f"{name!r:.80}: a text of 1 to 128 of A-Z a-z 0-9 _ : -")
        return check_gateway(name)
    except ModelError as error:
        problems.append(f"gateway: {error}")
        return ""


def _reading(item: Any, now_ms: int) -> Reading:
    if not isinstance(item, dict):
        raise FaultError(f"{type(item).__name__}: an object with series, time and value")
    unknown = sorted(set(item) - _KEYS)
    if unknown:
        raise FaultError(f"{unknown[0]!s:.40}: no such key; there are {', '.join(sorted(_KEYS))}")
    name, unit = item.get("series"), item.get("unit", "")
    if not isinstance(name, str) or not isinstance(unit, str):
        raise FaultError(f"series: {name!r:.80} with unit {unit!r:.40}: both texts")
    time_ms = check_time(item.get("time"), "time", now_ms)
    given = item.get("quality", "good")
    quality = _QUALITIES.get(given) if isinstance(given, str) else None
    if quality is None:
        raise FaultError(f"quality: {given!r:.40}: one of {', '.join(_QUALITIES)}")
    resolution = item.get("resolution")
    series = Series(name, unit, None if resolution is None else number(resolution, "resolution"))
    value = number(item.get("value"), "value")
    if quality is Quality.BAD:
        raise FaultError("quality: bad: a bad reading has no value that could be stored")
    return Reading(series, time_ms, value, int(quality))
