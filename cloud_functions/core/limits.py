"""Limits of a series: the default of forecast requests. They do not raise alerts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from cloud_functions.core import keys
from cloud_functions.core.errors import NotFoundError, RequestError
from cloud_functions.core.gateways import check_name
from cloud_functions.core.ports import Key, Table
from cloud_functions.core.threshold import Side

Limits = Mapping[Side, float]
_LARGEST = 1e300


def check(given: Mapping[str, Any], problems: list[str]) -> dict[Side, float]:
    """Return the limits given as ``high`` and ``low``; adds one sentence per invalid value to ``problems``."""
    limits: dict[Side, float] = {}
    for side in Side:
        value = given.get(side)
        if value is None:
            continue
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if abs(number) <= _LARGEST:
            limits[side] = number
        else:
            problems.append(f"{side}: {value!r:.80}: a number")
    if len(limits) == 2 and limits[Side.LOW] >= limits[Side.HIGH]:
        problems.append(f"low: {limits[Side.LOW]:g} is not below high, {limits[Side.HIGH]:g}")
    return limits


def keep(telemetry: Table, gateway: str, body: str) -> dict[str, Any]:
    """Store a series' limits, ``{"series", "high", "low"}``; an absent or null limit is removed.

    Raises RequestError with the problems, NotFoundError for a series that the gateway never sent.
    """
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError([f"body: not JSON: {str(error)[:200]}"]) from error
    if not isinstance(given, dict):
        raise RequestError(["body: an object with series, high, low"])
    gateway = check_name(gateway)
    problems = [f"{name[:80]}: series, high and low are known" for name in given if name not in ("series", *Side)]
    limits = check(given, problems)
    series = given.get("series")
    if not isinstance(series, str) or len(series) > 1024:
        problems.append(f"series: {series!r:.80}: the name of a series")
    if problems:
        raise RequestError(problems)
    if telemetry.get(keys.series(gateway, str(series))) is None:
        raise NotFoundError([f"gateway {gateway} has no series {str(series)[:140]}"])
    key = _key(gateway, str(series))
    texts = {str(side): repr(limit) for side, limit in limits.items()}
    telemetry.put_many([{"pk": key.pk, "sk": key.sk, "kind": "limits", **texts}])
    return {"gateway": gateway, "series": series, **{str(side): limits.get(side) for side in Side}}


def kept(telemetry: Table, gateway: str, series: str) -> Limits:
    """Return the stored limits of a series, possibly empty."""
    item = telemetry.get(_key(gateway, series)) or {}
    return {side: float(str(item[side])) for side in Side if side in item}


def _key(gateway: str, series: str) -> Key:
    return keys.about(gateway, f"limits#{series}")
