"""Reconciliation of missing readings with the counters of dropped readings and rows; pure.

Counters are read from the components' logs, where they survive the process that counted; losses of the spool from the
spool, and from the loss reports in the cloud.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from device_sim.chaos.proof import Proof, Span

READING_DROPS = ("rejected_", "dropped_readings")
"""Name prefixes of counters of reader and aggregator for readings that are not in any aggregate."""

NO_DROPS = ("rejected_duplicate",)
"""Counters to exclude: the first copy of a dropped duplicate is in an aggregate."""

ROW_DROPS = ("dropped_rows_",)
NO_ROWS = ("_urgent",)
"""Name suffixes to exclude: rows of anomaly reports."""


@dataclass(frozen=True, slots=True)
class Drops:
    """Counters of dropped readings and rows, by ``<component>.<reason>``.

    ``windows_a_row`` is the number of windows in the coarsest row.
    """

    readings: Mapping[str, int] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    windows_a_row: int = 1

    def all(self) -> dict[str, int]:
        """Return every counter."""
        return {**self.readings, **self.rows}


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Numbers of missing readings: ``accounted`` for by the counters of drops, and ``lost``."""

    accounted: int
    lost: int
    examples: tuple[str, ...] = ()


def totals(lines: Iterable[str]) -> dict[str, int]:
    """Return a component's counters from the lines of its log, summed over its successive processes.

    A process logs its counters every ten seconds and at a regular end. The counts of a killed process since its last
    log line are unknown.
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
    """Select the counters of drops among the components' counters (by component) and the losses of the spool."""
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


def reconcile(proof: Proof, drops: Drops, width_ms: int) -> Reconciliation:
    """Reconcile the missing readings with the counters of drops.

    A dropped row explains one window of one series whose readings are all missing (or the number of windows in a merged
    row), a dropped reading explains one missing reading; remaining rows explain the missing readings of a partial
    window. Only numbers are compared, because the counters do not identify the dropped windows.
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
    return Reconciliation(accounted, proof.missing - accounted, tuple(dict.fromkeys(unexplained)))


def _blocks(proof: Proof, width_ms: int) -> Iterator[tuple[Span, bool, int]]:
    """Yield (span, True for whole windows, number of missing readings): whole windows first, one block per lost row."""
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
