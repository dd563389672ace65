"""Recovery of a journal: the newest snapshot, the records after it, and losses. Pure.

Every frame exists in two images, so that damage to one causes no loss. If both images of the newest snapshot are
damaged, the previous one is used, whose segment is kept until the next snapshot. Remaining damage is reported as
:class:`Lost` at its position among the records.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edge_components.common.journal.frame import HEADER_BYTES, Header, Record, body_of, header_at, unpack_records
from edge_components.common.journal.segment import Entry, Segment, read_segment


@dataclass(frozen=True, slots=True)
class Lost:
    """Records or a snapshot that are damaged in both images; ``weight`` is None if it is unknown."""

    weight: int | None


@dataclass(frozen=True, slots=True)
class Recovered:
    """State of the owner: ``snapshot`` (None: empty state) and the ``records`` to apply to it in order."""

    snapshot: bytes | None = None
    records: Sequence[Record | Lost] = ()
    repaired: int = 0
    """Number of frames that were damaged in one image."""

    @property
    def lost(self) -> bool:
        """True if records or a snapshot could not be recovered."""
        return any(isinstance(entry, Lost) for entry in self.records)


@dataclass(frozen=True, slots=True)
class Repair:
    """Write that makes both images of a segment equal again."""

    segment: int
    replica: bool
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Position:
    """Position at which the journal continues: segment, offset, last sequence number and total weight.

    ``needed`` are the segments of the recovered state. ``base_bytes`` is the size of its snapshot, ``replay_bytes`` and
    ``records`` are size and number of the records after it.
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
    """Return the state in these segments (main and replica image by number) and the position to continue at."""
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


_Located = tuple[int, Entry]


def _base(segments: Mapping[int, Segment]) -> _Located | None:
    found = [
        (number, entry)
        for number, segment in segments.items()
        for entry in segment.entries
        if entry.header.snapshot and _body(entry) is not None
    ]
    return max(found, key=lambda located: located[1].header.sequence, default=None)


def _chain(segments: Mapping[int, Segment], base: _Located | None) -> list[_Located]:
    """Return the frames of records after the base, by sequence number; of duplicates the undamaged one.

    Without a base they begin with the first record, or with the first one after the damaged snapshot.
    """
    chain: dict[int, _Located] = {}
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
    """Return the header of the newest snapshot, which may have a damaged body."""
    found = [entry.header for segment in segments.values() for entry in segment.entries if entry.header.snapshot]
    return max(found, key=lambda header: header.sequence, default=None)


def _replayed(
    segments: Mapping[int, Segment], base: _Located | None, chain: list[_Located]
) -> tuple[list[Record | Lost], int, int]:
    """Return records and losses in order, the last sequence number and the total weight."""
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
    except zlib.error:  # a flipped flag with a matching header checksum
        return None


def _repairs(number: int, entry: Entry, images: tuple[bytes, bytes]) -> list[Repair]:
    """Return the writes that repair a frame; header and body may be undamaged in different images."""
    if entry.stored is None or all(entry.intact):
        return []
    heads = [image[entry.offset : entry.offset + HEADER_BYTES] for image in images]
    head = next(head for head in heads if header_at(head, 0) == entry.header)
    return [Repair(number, bool(side), entry.offset, head + entry.stored) for side in (0, 1) if not entry.intact[side]]


def _damaged(used: list[_Located]) -> int:
    """Return the number of frames with a damaged image; a replica that ends earlier is not damaged."""
    replicated: dict[int, int] = {}
    for number, entry in used:
        if entry.intact[1]:
            replicated[number] = max(entry.offset, replicated.get(number, -1))
    return sum(
        entry.stored is not None
        and (not entry.intact[0] or (not entry.intact[1] and entry.offset < replicated.get(number, -1)))
        for number, entry in used
    )
