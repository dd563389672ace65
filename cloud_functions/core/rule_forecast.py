"""Evaluation of a rule whose condition is a forecast: the limit is expected to be reached within a time."""

from __future__ import annotations

import math
from dataclasses import replace

from cloud_functions.core.history import history
from cloud_functions.core.rule_evaluation import Breach, Progress
from cloud_functions.core.rules import Forecast
from cloud_functions.core.threshold import Estimate, NoEstimate, Reason, Side, SimulatedForecast
from wire.model import Aggregates

HISTORY_MS = 86_400_000
"""Length of the history from which a forecast is made."""
CLEAR = 1.2
"""A breach is over when the limit is expected later than this multiple of the condition's time, or not at all."""


def evaluate(condition: Forecast, progress: Progress, rows: Aggregates, now_ms: int) -> tuple[Progress, Breach | None]:
    """Return the progress, and the breach that began, continues or ended; ``rows`` are those of one series and unit."""
    reached_s, value = _expected_s(condition, rows, now_ms)
    running = progress.breach
    until_ms = now_ms
    if running is None:
        if reached_s is None or reached_s > condition.within_s:
            return Progress(until_ms, value), None
        begun = Breach(now_ms, now_ms, None, reached_s, reached_s, condition.limit, _direction(condition))
        return Progress(until_ms, value, begun), begun
    if reached_s is None or reached_s > condition.within_s * CLEAR:
        return Progress(until_ms, value), replace(running, ended_ms=now_ms)
    breach = replace(running, last_ms=now_ms, value=reached_s, peak=min(running.peak, reached_s))
    return Progress(until_ms, value, breach), breach


def _expected_s(condition: Forecast, rows: Aggregates, now_ms: int) -> tuple[float | None, float]:
    """Return the expected seconds until the limit is reached (0 if it is), None without an estimate; and the mean."""
    past = history(rows.start_ms, rows.width_ms, rows.count, rows.mean, now_ms) if len(rows) else None
    if past is None:
        return None, 0.0
    steps = math.ceil(condition.within_s * CLEAR * 1000 / past.step_ms) + 1
    answer = SimulatedForecast(past, steps).reach(Side(condition.side), condition.limit)
    if isinstance(answer, Estimate):
        return max(0.0, (past.end_ms + (answer.middle - 0.5) * past.step_ms - now_ms) / 1000), past.last
    beyond = isinstance(answer, NoEstimate) and answer.reason is Reason.BEYOND
    return (0.0 if beyond else None), past.last


def _direction(condition: Forecast) -> str:
    return "up" if condition.side == "high" else "down"
