"""Entries of the spool: received batches, pending payloads and formed batches."""

from __future__ import annotations

from dataclasses import dataclass

from wire.topics import Lane


@dataclass(frozen=True, slots=True)
class SpooledBatch:
    """A formed batch; ``epoch`` and ``sequence`` are 0 until it is first sent."""

    id: int
    lane: Lane
    epoch: int
    sequence: int
    rows: int
    body: bytes


@dataclass(frozen=True, slots=True)
class PendingPayload:
    """The rows of a received batch as stored; the first ``used`` of them are in formed batches already."""

    id: int
    lane: Lane
    rows: int
    used: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class ReceivedBatch:
    """A batch received from a sender, named by the sender's epoch and its sequence number.

    ``unusable`` is the reason for which it is moved to the quarantine, empty for a usable batch.
    """

    epoch: int
    sequence: int
    lane: Lane
    rows: int
    payload: bytes
    unusable: str = ""
