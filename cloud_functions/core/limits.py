"""Limits of a series: the default of forecast requests. They do not raise alerts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cloud_functions.core import keys
from cloud_functions.core.errors import NotFoundError, RequestError
from cloud_functions.core.gateways import check_name
from cloud_functions.core.ports import Key, Table
from cloud_functions.core.threshold import Side
from wire.errors import ModelError
from wire.names import Series

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


def keep(telemetry: Table, gateway: str, series: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Store a series' limits, ``{"high", "low"}``; an absent or null limit is removed.

    Raises RequestError with the problems, NotFoundError for a series that the gateway never sent.
    """
    check_name(gateway)
    problems = [f"{name[:80]}: high and low are known" for name in given if name not in tuple(Side)]
    limits = check(given, problems)
    if problems:
        raise RequestError(problems)
    _check_series(telemetry, gateway, series)
    key = _key(gateway, series)
    texts = {str(side): repr(limit) for side, limit in limits.items()}
    telemetry.put_many([{"pk": key.pk, "sk": key.sk, "kind": "limits", **texts}])
    return _shown(gateway, series, limits)


def show(telemetry: Table, gateway: str, series: str) -> dict[str, Any]:
    """Return a series' limits as JSON values; raises RequestError and NotFoundError as :func:`keep` does."""
    check_name(gateway)
    found = kept(telemetry, gateway, series)
    if not found:
        _check_series(telemetry, gateway, series)
    return _shown(gateway, series, found)


def kept(telemetry: Table, gateway: str, series: str) -> Limits:
    """Return the stored limits of a series, possibly empty."""
    item = telemetry.get(_key(gateway, series)) or {}
    return {side: float(str(item[side])) for side in Side if side in item}


def _shown(gateway: str, series: str, limits: Limits) -> dict[str, Any]:
    return {"gateway": gateway, "series": series, **{str(side): limits.get(side) for side in Side}}


def _check_series(telemetry: Table, gateway: str, series: str) -> None:
    try:
        Series(series)
    except ModelError as error:
        raise RequestError([str(error)]) from error
    if telemetry.get(keys.series(gateway, series)) is None:
        raise NotFoundError([f"gateway {gateway} has no series {series}"])


def _key(gateway: str, series: str) -> Key:
    return keys.about(gateway, f"limits#{series}")
