"""Queries of the forecast function: when a series reaches its limits, or why an estimate is not possible."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cloud_functions.core import keys, limits
from cloud_functions.core.errors import NotFoundError, RequestError
from cloud_functions.core.gateways import check_name
from cloud_functions.core.history import History, history
from cloud_functions.core.history_reader import HistoryReader
from cloud_functions.core.limits import Limits
from cloud_functions.core.parameters import moment
from cloud_functions.core.ports import Table
from cloud_functions.core.threshold import LEVEL, Estimate, NoEstimate, Reason, Side, SimulatedForecast
from wire.codec import Profiles
from wire.errors import ModelError
from wire.model import Series

DAY_MS = 86_400_000
MAX_ROWS = 50_000
"""Maximum number of rows of the history; the newest are used."""


@dataclass(frozen=True, slots=True)
class Request:
    """Rows of [from_ms, to_ms) are the history; ``horizon_ms`` None: the length of the history; without limits the
    stored ones are used."""

    from_ms: int
    to_ms: int
    horizon_ms: int | None
    limits: Limits


def read_request(query: Mapping[str, str], now_ms: int) -> Request:
    """Read ``from``, ``to``, ``horizon``, ``high`` and ``low``; raises RequestError with all problems."""
    problems: list[str] = []
    to_ms = moment(query, "to", now_ms, problems)
    from_ms = moment(query, "from", max(0, to_ms - DAY_MS), problems)
    horizon = query.get("horizon")
    if horizon is not None and not (horizon.isdecimal() and len(horizon) <= 13 and int(horizon) > 0):
        problems.append(f"horizon: {horizon[:80]!r}: milliseconds, 1 or more")
    wanted = limits.check(query, problems)
    if not problems and from_ms >= to_ms:
        problems.append(f"from: {from_ms} is not before to, {to_ms}")
    if problems:
        raise RequestError(problems)
    return Request(from_ms, to_ms, int(horizon) if horizon else None, wanted)


def forecast(telemetry: Table, profiles: Profiles, gateway: str, series_name: str, request: Request) -> dict[str, Any]:
    """Return when a stored series reaches its limits (see :func:`describe`).

    Raises RequestError for an invalid name and if no limit is given or stored, NotFoundError for an unknown series.
    """
    gateway = check_name(gateway)
    try:
        series = Series(series_name)
    except ModelError as error:
        raise RequestError([str(error)]) from error
    wanted = request.limits or limits.kept(telemetry, gateway, series.name)
    rows = HistoryReader(telemetry, profiles).mixed(gateway, series.name, request.from_ms, request.to_ms)
    if len(rows):
        series = rows.series[int(rows.series_index[-1])]
        # Values before a change of the unit are not comparable: only rows of the newest unit are used.
        rows = rows.take(np.flatnonzero(rows.series_index == rows.series_index[-1])[-MAX_ROWS:])
    elif telemetry.get(keys.series(gateway, series.name)) is None:
        raise NotFoundError([f"gateway {gateway} has no series {series.name}"])
    if not wanted:
        raise RequestError(["high, low: name at least one limit, or keep one for the series"])
    past = history(rows.start_ms, rows.width_ms, rows.count, rows.mean, request.to_ms)
    return {"gateway": gateway, "series": series.name, "unit": series.unit} | describe(past, wanted, request.horizon_ms)


def describe(past: History | None, wanted: Limits, horizon_ms: int | None) -> dict[str, Any]:
    """Return JSON-ready when a history reaches limits.

    ``limits`` has one entry each: ``side``, ``limit`` and ``estimate`` with ``early_ms``, ``middle_ms``, ``late_ms``
    (when the limit is reached: with probability ``interval`` between the first and the last), or null with ``reason``
    (see :class:`cloud_functions.core.threshold.Reason`) and ``detail``; ``probability`` is that of reaching it by
    ``until_ms``, where it could be worked out. ``model`` is the best trend's parameters, in steps of the history, and
    ``cycle_ms`` the period of the cycle that was taken out, if there is one.
    """
    if past is None:
        nothing = NoEstimate(Reason.TOO_SHORT, "no rows in the requested time range")
        entries = [_refusal(side, limit, nothing) for side, limit in wanted.items()]
        return {"interval": LEVEL, "history": None, "until_ms": None, "model": None, "limits": entries}
    span = past.step_ms * len(past.values)
    simulated = SimulatedForecast(past, math.ceil((span if horizon_ms is None else horizon_ms) / past.step_ms))
    entries = [_entry(side, limit, simulated.reach(side, limit), past) for side, limit in wanted.items()]
    fit, cycle = simulated.fit, simulated.cycle
    cycle_ms = None if cycle is None else round(cycle.period * past.step_ms)
    return {
        "interval": LEVEL,
        "history": {
            "from_ms": past.start_ms,
            "to_ms": past.end_ms,
            "rows": past.rows,
            "steps": len(past.values),
            "step_ms": past.step_ms,
        },
        "until_ms": past.end_ms + simulated.horizon * past.step_ms,
        "model": None
        if fit is None
        else fit.parameters | {"trend_certainty": fit.trend_certainty, "cycle_ms": cycle_ms},
        "limits": entries,
    }


def _entry(side: Side, limit: float, answer: Estimate | NoEstimate, past: History) -> dict[str, Any]:
    if isinstance(answer, NoEstimate):
        return _refusal(side, limit, answer)
    # Somewhere within its step: the interval takes in the whole of the first and of the last.
    steps = {"early_ms": answer.early - 1, "middle_ms": answer.middle - 0.5, "late_ms": answer.late}
    times = {name: past.end_ms + round(step * past.step_ms) for name, step in steps.items()}
    return {
        "side": str(side),
        "limit": limit,
        "estimate": times,
        "probability": answer.probability,
        "reason": None,
        "detail": "",
    }


def _refusal(side: Side, limit: float, answer: NoEstimate) -> dict[str, Any]:
    return {
        "side": str(side),
        "limit": limit,
        "estimate": None,
        "probability": answer.probability,
        "reason": str(answer.reason),
        "detail": answer.detail,
    }
