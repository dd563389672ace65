"""Health of a gateway, from the notices of its forwarder: a growing spool, a wrong clock, a component that is broken.

The part ``Status`` of a notice has ``spool_bytes`` and ``spool_batches``, and ``stale_<component>``: seconds since the
last health report of a component that stopped reporting.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cloud_functions.core.severity import Severity

STATUS, STALE = "Status", "stale_"
GROWING = 3
"""Successive notices, each with a larger spool, after which the spool is growing."""
SPOOL_BYTES = 1_000_000
"""Size below which a growing spool is normal."""
AHEAD_MS, BEHIND_MS = 120_000, 300_000
"""Offsets of a clock from the time of arrival from which it is wrong."""
STEADY_MS = 60_000
"""Difference of two offsets up to which they show a clock that is behind, and not notices that were delayed."""
STALE_S = 120
MAX_HISTORY = 8

SPOOL, CLOCK, COMPONENT = "spool", "clock", "component"


@dataclass(frozen=True, slots=True)
class Notice:
    """Content of a notice: its time, its arrival, the spool and the stale components with their seconds."""

    time_ms: int
    received_ms: int
    spool_bytes: int
    stale: Mapping[str, int]

    @property
    def offset_ms(self) -> int:
        """The gateway's time less the time of arrival."""
        return self.time_ms - self.received_ms

    @classmethod
    def of(cls, time_ms: int, received_ms: int, counters: Mapping[str, Mapping[str, int]]) -> Notice:
        """Return the notice of stored counters."""
        status = counters.get(STATUS, {})
        stale = {name[len(STALE) :]: int(seconds) for name, seconds in status.items() if name.startswith(STALE)}
        return cls(time_ms, received_ms, int(status.get("spool_bytes", 0)), stale)


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem of a gateway; ``rule`` identifies it."""

    rule: str
    severity: Severity
    summary: str
    value: float
    unit: str = ""


def findings(history: Sequence[Notice]) -> list[Finding]:
    """Return the problems that the last notices show; the newest notice is the last."""
    if not history:
        return []
    newest = history[-1]
    found = []
    recent = [notice.spool_bytes for notice in history[-GROWING - 1 :]]
    grows = len(recent) > GROWING and all(before < after for before, after in itertools.pairwise(recent))
    if grows and newest.spool_bytes >= SPOOL_BYTES:
        text = f"the spool grows and has {newest.spool_bytes / 1e6:.1f} MB"
        found.append(Finding(SPOOL, Severity.WARNING, text, float(newest.spool_bytes), "B"))
    offset = newest.offset_ms
    behind = offset < -BEHIND_MS and len(history) > 1 and abs(history[-2].offset_ms - offset) <= STEADY_MS
    if offset > AHEAD_MS or behind:
        side = "ahead" if offset > 0 else "behind"
        text = f"the clock is {abs(offset) / 1000:.0f} s {side}"
        found.append(Finding(CLOCK, Severity.WARNING, text, offset / 1000, "s"))
    for component, seconds in sorted(newest.stale.items()):
        if seconds >= STALE_S:
            text = f"component {component} does not report: it is broken or stopped"
            found.append(Finding(f"{COMPONENT}.{component[:64]}", Severity.CRITICAL, text, float(seconds), "s"))
    return found
