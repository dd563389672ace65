"""What the components say they dropped, and how much of what is missing that accounts for. Pure.

Counters are read from the components' logs, where they survive the process that counted; the spool's losses from the
spool, and from the notice that the cloud was sent of them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from device_sim.chaos.proof import Proof, Span

READING_DROPS = ("rejected_", "invalid_", "late", "readings_dropped", "readings_lost", "mqtt_overflow")
"""Beginnings of the names of reader's and aggregator's counters of readings that are in no aggregate."""

NO_DROPS = ("invalid_duplicate",)
"""A reading that had come before is in an aggregate, though it was dropped when it came again."""

ROW_DROPS = ("rows_dropped_", "rows_not_recovered_", "rows_refused", "rows_unreadable")
NO_ROWS = ("_urgent",)
"""Endings of the names of those that are reports of anomalies."""


@dataclass(frozen=True, slots=True)
class Drops:
    """What was counted as dropped: readings and rows, by ``<component>.<reason>``.

    ``windows_a_row`` is how many windows the coarsest row spans.
    """

    readings: Mapping[str, int] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    windows_a_row: int = 1

    def all(self) -> dict[str, int]:
        """Return every counter."""
        return {**self.readings, **self.rows}


@dataclass(frozen=True, slots=True)
class Account:
    """Missing readings: ``accounted`` for by what was counted as dropped, and ``lost``."""

    accounted: int
    lost: int
    examples: tuple[str, ...] = ()


def totals(lines: Iterable[str]) -> dict[str, int]:
    """Return a component's counters from the lines of its log, summed over the processes that it ran as.

    A process says its counters every ten seconds and when it ends in good order. What one that was killed had counted
    since it last said so is not known.
    """
    total: Counter[str] = Counter()
    running: dict[str, int] = {}
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if not isinstance(entry, dict):
            continue
        if entry.get("message") == "started":
            total.update(running)
            running = {}
        elif entry.get("message") == "counters" and isinstance(entry.get("counters"), dict):
            running = {str(name): int(count) for name, count in entry["counters"].items()}
    total.update(running)
    return dict(total)


def drops_of(counters: Mapping[str, Mapping[str, int]], losses: Mapping[str, int], windows_a_row: int) -> Drops:
    """Return what stands for something dropped, among components' counters (by component) and the spool's losses."""
    readings = {
        f"{component}.{reason}": count
        for component, counts in counters.items()
        for reason, count in counts.items()
        if count and reason.startswith(READING_DROPS) and reason not in NO_DROPS
    }
    rows = {
        f"Spool.{reason}": count
        for reason, count in losses.items()
        if count and reason.startswith(ROW_DROPS) and not reason.endswith(NO_ROWS)
    }
    return Drops(readings, rows, windows_a_row if losses.get("rows_merged") else 1)


def account(proof: Proof, drops: Drops, width_ms: int) -> Account:
    """Set what is missing against what was dropped.

    A dropped row explains one window of one series of which every reading is missing (or as many as a merged row
    spans), a dropped reading one missing reading; rows that explain no whole window explain what is missing of a part
    of one. A window that is missing for a reason and one that is missing without cannot be told apart: only the numbers
    are compared.
    """
    rows = sum(drops.rows.values())
    readings = sum(drops.readings.values())
    accounted = 0
    unexplained: list[str] = []
    for span, block, missing in _blocks(proof, drops.windows_a_row * width_ms):
        if block and rows > 0:
            rows -= 1
            accounted += missing
        elif readings >= missing:
            readings -= missing
            accounted += missing
        elif not block and rows > 0:
            rows -= 1
            accounted += missing
        else:
            accounted += readings
            readings = 0
            unexplained.append(str(span))
    return Account(accounted, proof.missing - accounted, tuple(dict.fromkeys(unexplained)))


def _blocks(proof: Proof, width_ms: int) -> Iterator[tuple[Span, bool, int]]:
    """Yield (a span, whether it is whole windows, readings missing): the whole ones first, one for each row lost."""
    wholes: dict[tuple[str, int], tuple[Span, int]] = {}
    parts = []
    for span in proof.spans:
        left = len(span.missing)
        per_window = max(1, span.expected // max(1, span.windows))
        for start in span.empty:
            size = min(left, per_window)
            left -= size
            row = (span.series, start // width_ms)
            wholes[row] = (span, wholes[row][1] + size if row in wholes else size)
        if left:
            parts.append((span, False, left))
    yield from ((span, True, size) for span, size in wholes.values())
    yield from parts
