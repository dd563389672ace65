"""State of a journal as found at start: the newest snapshot, the records after it, and what is lost. Pure.

Every frame exists twice, so that damage in one image costs nothing. Where both are damaged, the newest snapshot may
still be replaced by the one before it, whose segment is kept until the next snapshot. What remains is reported as
:class:`Lost` at its position in the sequence of records.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edge_components.common.journal.frame import HEADER_BYTES, Header, Record, body_of, header_at, unpack_records
from edge_components.common.journal.segment import Entry, Segment, read_segment


@dataclass(frozen=True, slots=True)
class Lost:
    """Records, or the snapshot before them, that are damaged in both images; ``weight`` is None where it is unknown."""

    weight: int | None


@dataclass(frozen=True, slots=True)
class Recovered:
    """The owner's state: apply ``records`` in order on ``snapshot`` (None: on an empty state)."""

    snapshot: bytes | None = None
    records: Sequence[Record | Lost] = ()
    repaired: int = 0
    """Frames that were taken from one image because the other was damaged."""

    @property
    def lost(self) -> bool:
        """Whether anything could not be recovered."""
        return any(isinstance(entry, Lost) for entry in self.records)


@dataclass(frozen=True, slots=True)
class Repair:
    """Bytes to write so that both images of a segment agree again."""

    segment: int
    replica: bool
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Position:
    """Where the journal goes on: segment, offset, the last sequence number and total weight given out.

    ``needed`` are the segments that the recovered state was read from. ``base_bytes`` is the size of its snapshot,
    ``replay_bytes`` and ``records`` are what a start has to replay.
    """

    segment: int = 0
    offset: int = 0
    sequence: int = 0
    total: int = 0
    needed: frozenset[int] = frozenset({0})
    base_bytes: int = 0
    replay_bytes: int = 0
    records: int = 0
    repairs: Sequence[Repair] = field(default=())


def recover(images: Mapping[int, tuple[bytes, bytes]]) -> tuple[Recovered, Position]:
    """Return the state in these segments (main and replica image by number) and where to go on."""
    segments = {number: read_segment(*pair) for number, pair in sorted(images.items())}
    base = _base(segments)
    chain = _chain(segments, base)
    records, sequence, total = _replayed(segments, base, chain)
    if base is None and not chain and not records:
        return Recovered(), Position()
    used = [(number, entry) for number, entry in ([base] if base else []) + chain]
    current = chain[-1][0] if chain else base[0] if base else 0
    repairs = [repair for number, entry in used for repair in _repairs(number, entry, images[number])]
    end = segments[current].end if current in segments else 0
    position = Position(
        segment=current,
        offset=end,
        sequence=sequence,
        total=total,
        needed=frozenset(number for number, _ in used) | {current},
        base_bytes=base[1].size if base else 0,
        replay_bytes=sum(entry.size for _, entry in chain),
        records=len(records),
        repairs=repairs,
    )
    snapshot = _body(base[1]) if base else None
    return Recovered(snapshot, records, _damaged(used)), position


_Place = tuple[int, Entry]


def _base(segments: Mapping[int, Segment]) -> _Place | None:
    found = [
        (number, entry)
        for number, segment in segments.items()
        for entry in segment.entries
        if entry.header.snapshot and _body(entry) is not None
    ]
    return max(found, key=lambda place: place[1].header.sequence, default=None)


def _chain(segments: Mapping[int, Segment], base: _Place | None) -> list[_Place]:
    """Return the frames of records after the base, by sequence; where a number exists twice, the one that is sound.

    Without a base they begin with the first of all records, or else with those after the snapshot that is damaged.
    """
    chain: dict[int, _Place] = {}
    for number, segment in segments.items():
        if base is None and not segment.anchored:
            continue
        for entry in segment.entries:
            sequence = entry.header.sequence
            if not entry.header.snapshot and (sequence not in chain or chain[sequence][1].stored is None):
                chain[sequence] = (number, entry)
    lost = _lost_base(segments)
    after = base[1].header.sequence if base else lost.sequence if lost and 1 not in chain else 0
    return [chain[sequence] for sequence in sorted(chain) if sequence > after]


def _lost_base(segments: Mapping[int, Segment]) -> Header | None:
    """Return the header of the newest snapshot, for where none is sound."""
    found = [entry.header for segment in segments.values() for entry in segment.entries if entry.header.snapshot]
    return max(found, key=lambda header: header.sequence, default=None)


def _replayed(
    segments: Mapping[int, Segment], base: _Place | None, chain: list[_Place]
) -> tuple[list[Record | Lost], int, int]:
    """Return the records with what is lost between them, and the last sequence number and total weight."""
    records: list[Record | Lost] = []
    sequence, total = 0, 0
    first = chain[0][1].header if chain else None
    if base is not None:
        sequence, total = base[1].header.sequence, base[1].header.total
    elif first is None or first.sequence != 1:
        if (lost := _lost_base(segments)) is not None:
            records.append(Lost(lost.weight))
            sequence, total = lost.sequence, lost.total
        elif first is not None or any(segment.replicated for segment in segments.values()):
            records.append(Lost(None))
            sequence, total = (first.sequence - 1, first.total - first.weight) if first else (0, 0)
    for _, entry in chain:
        header, body = entry.header, _body(entry)
        missing = header.total - total - (0 if body is None else header.weight)
        if body is None or header.sequence != sequence + 1:
            records.append(Lost(missing))
        if body is not None:
            records.extend(unpack_records(body))
        sequence, total = header.sequence, header.total
    return records, sequence, total


def _body(entry: Entry) -> bytes | None:
    if entry.stored is None:
        return None
    try:
        return body_of(entry.header, entry.stored)
    except zlib.error:  # a flag that was flipped along with the header's checksum
        return None


def _repairs(number: int, entry: Entry, images: tuple[bytes, bytes]) -> list[Repair]:
    """Return the writes that make both images of a frame whole; header and body may be sound in different ones."""
    if entry.stored is None or all(entry.intact):
        return []
    heads = [image[entry.offset : entry.offset + HEADER_BYTES] for image in images]
    head = next(head for head in heads if header_at(head, 0) == entry.header)
    return [Repair(number, bool(side), entry.offset, head + entry.stored) for side in (0, 1) if not entry.intact[side]]


def _damaged(used: list[_Place]) -> int:
    """Count frames with a damaged image; a replica that merely ends earlier than the main file is no damage."""
    replicated: dict[int, int] = {}
    for number, entry in used:
        if entry.intact[1]:
            replicated[number] = max(entry.offset, replicated.get(number, -1))
    return sum(
        entry.stored is not None
        and (not entry.intact[0] or (not entry.intact[1] and entry.offset < replicated.get(number, -1)))
        for number, entry in used
    )
