"""What goes into the spool and comes out of it."""

from __future__ import annotations

from dataclasses import dataclass

from wire.topics import Lane


@dataclass(frozen=True, slots=True)
class SpooledBatch:
    """A batch that waits; ``epoch`` and ``sequence`` are 0 until it is first sent."""

    id: int
    lane: Lane
    epoch: int
    sequence: int
    rows: int
    body: bytes


@dataclass(frozen=True, slots=True)
class PendingPayload:
    """Rows as they were taken in, of which the first ``used`` are in batches already."""

    id: int
    lane: Lane
    rows: int
    used: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class ReceivedBatch:
    """A sender's batch to take in."""

    epoch: int
    sequence: int
    lane: Lane
    rows: int
    payload: bytes
