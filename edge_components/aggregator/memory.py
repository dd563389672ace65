"""What the aggregator knows, written to its checkpoint and read back: nothing else decides what a restart remembers."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edge_components.aggregator.checkpoint import Checkpoint, CheckpointError, Saved, State
from edge_components.aggregator.cleaning import Cleaner
from edge_components.aggregator.directory import Directory
from edge_components.aggregator.window_types import Arrays, Closed, WindowSettings
from edge_components.aggregator.windows import Windows
from edge_components.common import aggregates_message
from edge_components.common.handover import Inbox, Outbox
from edge_components.common.ports import Clock
from wire.model import AGGREGATE_COLUMNS, Aggregates, Series

STATE_VERSION = 1
RETRY_SECONDS = 1.0
_COST_FACTOR = 20
"""A save that takes long (many series, a slow card) is made less often: at most a twentieth of the time goes to it."""


@dataclass(slots=True)
class Parts:
    """What is remembered; ``pending`` are closed windows that are in no batch yet."""

    directory: Directory
    cleaner: Cleaner
    windows: Windows
    inbox: Inbox
    outbox: Outbox
    pending: list[Aggregates]


class Memory:
    """Saves the parts when something is to be told to others, and says when that is safe."""

    def __init__(self, checkpoint: Checkpoint, clock: Clock, interval_s: float, log: logging.Logger) -> None:
        self.interval_s = interval_s
        self._checkpoint, self._clock, self._log = checkpoint, clock, log
        self._saved: dict[int, int] = {}
        """The batches that the checkpoint has, and how many readings are in each."""
        self._due = 0.0
        self._put_off = False
        self.failures = 0

    def restore(self, saved: Saved, parts: Parts, settings: WindowSettings, now: float) -> Closed | None:
        """Fill the parts from what was saved; windows cut under another width end here and are returned.

        Raises KeyError, TypeError or ValueError for a state that is none.
        """
        if saved.state is None:
            return None
        facts, arrays = saved.state.facts, dict(saved.state.arrays)
        if facts["version"] != STATE_VERSION:
            raise ValueError(f"state version {facts['version']}")
        parts.directory.places([_series(entry) for entry in facts["series"]])
        parts.cleaner.recent.restore(arrays)
        parts.cleaner.recent.remember_closed(np.frombuffer(saved.closed, np.uint64))
        parts.windows.reconfigure(replace(settings, width_ms=int(facts["width_ms"])))
        parts.windows.restore(arrays, now)
        parts.inbox.restore({int(epoch, 16): (c, ranges) for epoch, (c, ranges) in facts["inbox"].items()})
        parts.outbox.restore(int(facts["epoch"], 16), int(facts["last_sequence"]), saved.outbox)
        self._saved = {sequence: _readings_in(payload) for sequence, payload in saved.outbox.items()}
        if facts["pending"]:
            columns = (arrays[f"pending_{name}"] for name in AGGREGATE_COLUMNS)
            parts.pending.append(Aggregates(tuple(map(_series, facts["pending"])), *columns))  # type: ignore[arg-type]
        return parts.windows.reconfigure(settings)

    def save(self, parts: Parts, settings: WindowSettings, now: float) -> bool:
        """Save if it is time to and there is something to tell; return whether all of it may be told now."""
        fresh = parts.outbox.next_sequence - 1 not in self._saved and len(parts.outbox) > 0
        self._put_off = False
        if not fresh and not parts.inbox.due:
            return True
        if now < self._due and not (fresh and not self.failures):
            self._put_off = True
            return False
        held = parts.outbox.held()
        parts.cleaner.recent.forget(parts.windows.closed_ms)
        began = self._clock.monotonic()
        added = {sequence: payload for sequence, payload in held.items() if sequence not in self._saved}
        kept = {sequence: count for sequence, count in self._saved.items() if sequence in held}
        kept |= {sequence: _readings_in(payload) for sequence, payload in added.items()}
        waiting = sum(int(rows.count.sum()) for rows in parts.pending)
        readings = parts.windows.readings + waiting + sum(kept.values())
        try:
            freed = self._saved.keys() - held.keys()
            closed = parts.cleaner.recent.newly_closed()
            self._checkpoint.save(
                _state(parts, settings), added.items(), freed, readings=readings, closed=closed.tobytes()
            )
        except CheckpointError as error:
            if not self.failures:
                self._log.error("nothing is acknowledged or sent until the checkpoint can be written: %s", error)
            self.failures += 1
            self._due, self._put_off = now + RETRY_SECONDS, True
            return False
        self.failures = 0
        self._saved = kept
        self._due = now + max(self.interval_s, _COST_FACTOR * (self._clock.monotonic() - began))
        return True

    def next_s(self, now: float) -> float:
        """Return the seconds until a save that had to wait is due; infinite when the last one was not put off."""
        return max(0.0, self._due - now) if self._put_off else float("inf")

    def close(self) -> None:
        """Close the file."""
        self._checkpoint.close()


def _readings_in(payload: bytes) -> int:
    rows = aggregates_message.decode(payload).rows
    return int(rows.count.sum()) if isinstance(rows, Aggregates) else 0


def _state(parts: Parts, settings: WindowSettings) -> State:
    pending = Aggregates.concatenate(parts.pending) if parts.pending else None
    facts: dict[str, Any] = {
        "version": STATE_VERSION,
        "width_ms": settings.width_ms,
        "epoch": f"{parts.outbox.epoch:016x}",
        "last_sequence": parts.outbox.next_sequence - 1,
        "series": [_entry(series) for series in parts.directory.all()],
        "inbox": {f"{epoch:016x}": held for epoch, held in parts.inbox.held().items()},
        "pending": [_entry(series) for series in pending.series] if pending is not None else [],
    }
    arrays: Arrays = parts.windows.state() | parts.cleaner.recent.state()
    if pending is not None:
        arrays |= {f"pending_{name}": np.asarray(getattr(pending, name)) for name in AGGREGATE_COLUMNS}
    return State(facts, arrays)


def _entry(series: Series) -> list[Any]:
    return [series.name, series.unit, series.resolution]


def _series(entry: list[Any]) -> Series:
    name, unit, resolution = entry
    return Series(name, unit, resolution)
