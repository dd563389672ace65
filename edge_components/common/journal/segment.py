"""Reading of a segment at the start: two images of the same frames, which complete each other. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from edge_components.common.journal.frame import HEADER_BYTES, Header, headers


@dataclass(frozen=True, slots=True)
class Entry:
    """Frame of a segment; ``stored`` is None if its body is damaged in both images.

    ``intact`` is True for each image (main, replica) with undamaged header and body.
    """

    offset: int
    header: Header
    stored: bytes | None
    intact: tuple[bool, bool]

    @property
    def size(self) -> int:
        """Size of the frame in bytes."""
        return HEADER_BYTES + self.header.length

    @property
    def end(self) -> int:
        """Offset behind the frame."""
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class Segment:
    """Frames of a segment by offset, and the offset of the next one."""

    entries: tuple[Entry, ...]
    end: int
    replicated: bool
    """True if a frame was committed: the replica is written after a commit."""

    @property
    def anchored(self) -> bool:
        """True if the header of the first frame is readable, so that later frames are known to follow it."""
        return bool(self.entries) and self.entries[0].offset == 0


def read_segment(main: bytes, replica: bytes) -> Segment:
    """Return the frames in either image.

    Segments are reused: frames behind the newest one with lower sequence numbers are old and are skipped.
    """
    known: tuple[dict[int, Header], dict[int, Header]] = (dict(headers(main)), dict(headers(replica)))
    offsets = sorted(known[0].keys() | known[1].keys())
    entries: list[Entry] = []
    end, last = 0, -1
    for offset in offsets:
        header = known[0].get(offset) or known[1][offset]
        if offset < end or header.sequence < last or (header.sequence == last and entries):
            continue
        entry = _entry(offset, header, (main, replica), known)
        entries.append(entry)
        end, last = entry.end, header.sequence
    while entries and entries[-1].stored is None and _torn(entries[-1], known[1]):
        end = entries.pop().offset
    return Segment(tuple(entries), end, replicated=bool(replica.strip(b"\0")))


def _torn(entry: Entry, replica: dict[int, Header]) -> bool:
    """Return whether a last frame with a damaged body was torn before its commit: the replica lacks its header.

    The replica is written only after the main file was synced.
    """
    return replica.get(entry.offset) != entry.header


def _entry(
    offset: int, header: Header, images: tuple[bytes, bytes], known: tuple[dict[int, Header], dict[int, Header]]
) -> Entry:
    start = offset + HEADER_BYTES
    bodies = [image[start : start + header.length] for image in images]
    undamaged = [header.matches(body) for body in bodies]
    stored = next((body for body, good in zip(bodies, undamaged, strict=True) if good), None)
    intact = (undamaged[0] and known[0].get(offset) == header, undamaged[1] and known[1].get(offset) == header)
    return Entry(offset, header, stored, intact)
