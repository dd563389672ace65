"""Readings that arrive over HTTP as JSON: all are checked before any is stored, as a batch like any other.

Epoch and sequence are derived from the client's id, so a request that is sent again is stored once.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np

from cloud_functions.core.arrival import Arrival, Envelope
from cloud_functions.core.errors import RequestError
from cloud_functions.core.ports import NowMs
from wire import codec
from wire.errors import ModelError, TooLargeError
from wire.model import MAX_SEQUENCE, Batch, Quality, Readings, Series, check_gateway
from wire.summary import read_name

MAX_READINGS = 5_000
MAX_BYTES = 350_000
"""Maximum bytes of an encoded request, less than an item of the store can contain."""
MAX_PROBLEMS = 20
EARLIEST_MS = 946_684_800_000
"""2000-01-01: an earlier time is from a clock that was not set, or in seconds instead of milliseconds."""
AHEAD_MS = 86_400_000
LANE = "http"

_KEYS = {"series", "time", "value", "unit", "resolution", "quality"}
_QUALITIES = {quality.name.lower(): quality for quality in Quality}


def read_telemetry(body: str, now_ms: NowMs, gateway: str | None = None) -> Arrival:
    """Read ``{"id", "gateway", "readings": [{"series", "time", "value", ...}]}``.

    ``gateway`` is the one that the request's path names, if any. Raises RequestError with one sentence per problem.
    """
    try:
        request: Any = json.loads(body, parse_constant=_no_constant, parse_int=_small_int)
    except (ValueError, RecursionError) as error:
        raise RequestError([f"body: not JSON: {str(error)[:200]}"]) from error
    if not isinstance(request, dict):
        raise RequestError([f"body: a JSON object, not {type(request).__name__}"])
    problems: list[str] = []
    received_ms = now_ms()
    name, gateway = _id(request, problems), _gateway(request, gateway, problems)
    readings = _readings(request, received_ms, problems)
    if problems or readings is None:
        raise RequestError(problems)
    words = hashlib.sha256(f"http#{name}".encode()).digest()
    epoch, sequence = int.from_bytes(words[:8]), int.from_bytes(words[8:16]) % MAX_SEQUENCE + 1
    try:
        data = codec.encode(Batch(gateway, epoch, sequence, readings), MAX_BYTES, coders=codec.FAST)
    except (ModelError, TooLargeError) as error:
        raise RequestError([f"readings: {error}"]) from error
    return Arrival(Envelope(data, gateway, LANE, "", received_ms), read_name(data))


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _small_int(text: str) -> int | float:
    # Python raises another exception for numbers with thousands of digits, which are not needed here.
    return int(text) if len(text) <= 20 else float(text)


def _id(request: dict[str, Any], problems: list[str]) -> str:
    name = request.get("id")
    if isinstance(name, str) and 1 <= len(name) <= 128 and name.isprintable():
        return name
    problems.append(f"id: {name!r:.80}: 1 to 128 printable characters, new for each request and kept when it is resent")
    return ""


def _gateway(request: dict[str, Any], path: str | None, problems: list[str]) -> str:
    name = request.get("gateway", path)
    if path is not None and name != path:
        problems.append(f"gateway: {name!r:.80}: the path names {path}")
        return ""
    try:
        if not isinstance(name, str):
            raise ModelError(f"{name!r:.80}: a text of 1 to 128 of A-Z a-z 0-9 _ : -")
        return check_gateway(name)
    except ModelError as error:
        problems.append(f"gateway: {error}")
        return ""


def _readings(request: dict[str, Any], now_ms: int, problems: list[str]) -> Readings | None:
    rows = request.get("readings")
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_READINGS:
        found = f"a list of {len(rows)}" if isinstance(rows, list) else type(rows).__name__
        problems.append(f"readings: {found}: a list of 1 to {MAX_READINGS}")
        return None
    directory: dict[Series, int] = {}
    index, times, values, qualities = [], [], [], []
    for at, row in enumerate(rows):
        if len(problems) >= MAX_PROBLEMS:
            problems.append("and maybe more")
            break
        try:
            series, time_ms, value, quality = _reading(row, now_ms)
        except (RequestError, ModelError) as error:
            problems.append(f"readings[{at}].{error}")
            continue
        index.append(directory.setdefault(series, len(directory)))
        times.append(time_ms)
        values.append(value)
        qualities.append(quality)
    return Readings(
        tuple(directory),
        np.array(index, np.int64),
        np.array(times, np.int64),
        np.array(values, np.float64),
        np.array(qualities, np.uint8),
    )


def _reading(row: Any, now_ms: int) -> tuple[Series, int, float, int]:
    if not isinstance(row, dict):
        raise RequestError([f"{type(row).__name__}: an object with series, time and value"])
    unknown = sorted(set(row) - _KEYS)
    if unknown:
        raise RequestError([f"{unknown[0]!s:.40}: no such key; there are {', '.join(sorted(_KEYS))}"])
    name, unit = row.get("series"), row.get("unit", "")
    if not isinstance(name, str) or not isinstance(unit, str):
        raise RequestError([f"series: {name!r:.80} with unit {unit!r:.40}: both texts"])
    time_ms = row.get("time")
    if type(time_ms) is not int or not EARLIEST_MS <= time_ms <= now_ms + AHEAD_MS:
        raise RequestError(
            [f"time: {time_ms!r:.40}: a whole number of milliseconds since 1970, from 2000 to a day ahead of now"]
        )
    quality = _QUALITIES.get(str(row.get("quality", "good")))
    if quality is None:
        raise RequestError([f"quality: {row['quality']!r:.40}: one of {', '.join(_QUALITIES)}"])
    resolution = row.get("resolution")
    series = Series(name, unit, None if resolution is None else _number(resolution, "resolution"))
    return series, time_ms, _number(row.get("value"), "value"), int(quality)


def _number(value: Any, key: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise RequestError([f"{key}: {value!r:.40}: a finite number"])
