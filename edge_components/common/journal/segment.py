"""One segment as it is found at start: two images of the same frames, of which each stands in for the other. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from edge_components.common.journal.frame import HEADER_BYTES, Header, headers


@dataclass(frozen=True, slots=True)
class Entry:
    """A frame that was found; ``stored`` is None where its body is damaged in both images.

    ``intact`` says for main and replica whether that image has header and body as they were written.
    """

    offset: int
    header: Header
    stored: bytes | None
    intact: tuple[bool, bool]

    @property
    def size(self) -> int:
        """Bytes of the frame."""
        return HEADER_BYTES + self.header.length

    @property
    def end(self) -> int:
        """The offset behind the frame."""
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class Segment:
    """The frames of a segment, by offset, and the offset at which the next one goes."""

    entries: tuple[Entry, ...]
    end: int
    replicated: bool
    """A frame was committed to it at least once: the replica is written after that only."""

    @property
    def anchored(self) -> bool:
        """Whether the first frame's header is readable: those behind it are then known to belong to it."""
        return bool(self.entries) and self.entries[0].offset == 0


def read_segment(main: bytes, replica: bytes) -> Segment:
    """Return the frames that either image holds.

    Segments are reused: behind the newest frame stand older ones, with lower sequence numbers, which are left out.
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
    """Return whether a last frame without a sound body was torn before its commit: the replica has no header of it.

    The replica is written only after the main file was synced.
    """
    return replica.get(entry.offset) != entry.header


def _entry(
    offset: int, header: Header, images: tuple[bytes, bytes], known: tuple[dict[int, Header], dict[int, Header]]
) -> Entry:
    start = offset + HEADER_BYTES
    bodies = [image[start : start + header.length] for image in images]
    sound = [header.matches(body) for body in bodies]
    stored = next((body for body, good in zip(bodies, sound, strict=True) if good), None)
    intact = (sound[0] and known[0].get(offset) == header, sound[1] and known[1].get(offset) == header)
    return Entry(offset, header, stored, intact)
