"""Evaluation of a rule's condition over the rows of a series, one after the other, from where the last one ended.

The progress of a series and rule is small and is stored between evaluations: rows are evaluated once, in the order of
time, and the same rows in any portions give the same breaches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

from cloud_functions.core.rules import Absence, Condition, Rate, Threshold

_NEVER = -1


class Row(NamedTuple):
    """A window of a series: [start_ms, end_ms) with its mean."""

    start_ms: int
    end_ms: int
    mean: float


@dataclass(frozen=True, slots=True)
class Breach:
    """A period in which a condition holds: from onset to end, or to ``last_ms`` so far.

    ``value`` is the last one, ``peak`` the one farthest beyond ``limit``; ``direction`` is up or down.
    """

    onset_ms: int
    last_ms: int
    ended_ms: int | None
    value: float
    peak: float
    limit: float
    direction: str


@dataclass(frozen=True, slots=True)
class Progress:
    """State of an evaluation: the end and the mean of the last row, and the running breach if there is one."""

    until_ms: int = _NEVER
    value: float = 0.0
    breach: Breach | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the progress as JSON values."""
        running = self.breach
        known: dict[str, Any] = {"until_ms": self.until_ms, "value": self.value}
        if running is None:
            return known
        return known | {
            "breach": [running.onset_ms, running.last_ms, running.value, running.peak, running.limit, running.direction]
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the progress of stored values."""
        breach = None
        if "breach" in data:
            onset, last, value, peak, limit, direction = data["breach"]
            breach = Breach(int(onset), int(last), None, float(value), float(peak), float(limit), str(direction))
        return cls(int(data["until_ms"]), float(data["value"]), breach)


def evaluate(condition: Condition, progress: Progress, rows: Iterable[Row]) -> tuple[Progress, list[Breach]]:
    """Return the progress after rows in the order of time, and each breach that began, continues or ended in them.

    Rows that end before the progress are ignored. A forecast has no breaches here (see rule_forecast).
    """
    found: list[Breach] = []
    for row in rows:
        if row.end_ms <= progress.until_ms:
            continue
        breach = progress.breach
        if breach is not None and (after := _continued(condition, progress, breach, row)) is not breach:
            found = [one for one in found if one.onset_ms != breach.onset_ms]
            found.append(after)
            breach = None if after.ended_ms is not None else after
        # The row that ends a running absence cannot begin the same one again.
        ended_absence = isinstance(condition, Absence) and progress.breach is not None
        if breach is None and not ended_absence:
            breach = _begun(condition, progress, row)
            if breach is not None:
                found.append(breach)
                breach = None if breach.ended_ms is not None else breach
        progress = Progress(row.end_ms, row.mean, breach)
    return progress, found


def absent(condition: Absence, progress: Progress, now_ms: int) -> tuple[Progress, Breach | None]:
    """Return the progress, and the breach of a series that has sent nothing for too long before ``now_ms``."""
    onset_ms = progress.until_ms + round(condition.after_s * 1000)
    if progress.until_ms == _NEVER or now_ms < onset_ms:
        return progress, None
    breach = _absence(condition, progress, now_ms)
    return replace(progress, breach=breach), breach


def _begun(condition: Condition, before: Progress, row: Row) -> Breach | None:
    if isinstance(condition, Absence):
        if before.until_ms == _NEVER or row.start_ms < before.until_ms + round(condition.after_s * 1000):
            return None
        whole_gap = _absence(condition, before, row.start_ms)
        return replace(whole_gap, ended_ms=row.start_ms)
    value = _value(condition, before, row)
    if value is None or not isinstance(condition, Threshold | Rate):
        return None
    if condition.above is not None and value > condition.above:
        return Breach(row.start_ms, row.end_ms, None, value, value, condition.above, "up")
    if condition.below is not None and value < condition.below:
        return Breach(row.start_ms, row.end_ms, None, value, value, condition.below, "down")
    return None


def _continued(condition: Condition, before: Progress, breach: Breach, row: Row) -> Breach:
    """Return a running breach after a row; its end is set if it is over."""
    if isinstance(condition, Absence):
        return replace(breach, ended_ms=max(breach.onset_ms, row.start_ms))
    value = _value(condition, before, row)
    if value is None:
        return breach
    up = breach.direction == "up"
    margin = condition.clear_margin if isinstance(condition, Threshold) else 0.0
    over = value <= breach.limit - margin if up else value >= breach.limit + margin
    if over:
        return replace(breach, ended_ms=max(breach.last_ms, row.start_ms))
    peak = max(breach.peak, value) if up else min(breach.peak, value)
    return replace(breach, last_ms=row.end_ms, value=value, peak=peak)


def _value(condition: Condition, before: Progress, row: Row) -> float | None:
    """Return the mean, or its change since the row before per the condition's unit of time."""
    if not isinstance(condition, Rate):
        return row.mean
    passed = row.end_ms - before.until_ms
    if before.until_ms == _NEVER or passed <= 0:
        return None
    return (row.mean - before.value) / passed * condition.per_ms


def _absence(condition: Absence, progress: Progress, now_ms: int) -> Breach:
    onset_ms = progress.until_ms + round(condition.after_s * 1000)
    missing_s = (now_ms - progress.until_ms) / 1000
    return Breach(onset_ms, max(onset_ms, now_ms), None, missing_s, missing_s, condition.after_s, "")
