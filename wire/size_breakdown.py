"""Size breakdown of a batch: the bytes that each part takes, for inspection."""

from __future__ import annotations

from dataclasses import dataclass

from wire import codec, container
from wire.codec import Profiles
from wire.columns import Id, Mode
from wire.container import Coder, Kind
from wire.errors import FormatError, ModelError, UnknownProfileError

ENVELOPE, DIRECTORY, ROWS = "envelope", "directory", "rows"
"""Parts other than columns: name and checksum; series names and kinds, row counts, first times; rows that cannot be
split further."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a batch: name, mode and size in bytes (columns that are packed together share theirs)."""

    name: str
    mode: str
    bytes: float


@dataclass(frozen=True, slots=True)
class SizeBreakdown:
    """Kind, coder and profile of a batch, and its parts, whose sizes add up to the size of the batch."""

    kind: Kind
    coder: Coder
    profile: int | None
    parts: tuple[Part, ...]


def break_down(data: bytes, profiles: Profiles | None = None) -> SizeBreakdown:
    """Return the size breakdown of a batch; raises DecodeError.

    Columns coded by the model are measured to a fraction of a byte. Columns that were packed together share the packed
    size in proportion to the size that each has when packed alone. A batch whose profile ``profiles`` does not find has
    all columns in one part.
    """
    gateway, _, _, packed = container.unseal(data)
    parts = container.unpack(packed)
    envelope = Part(ENVELOPE, "", len(data) - len(parts.stream))
    if parts.kind not in (Kind.READINGS, Kind.AGGREGATES):
        whole = Part(parts.kind.name.lower(), "json" if parts.kind is not Kind.PROFILE else "", len(parts.stream))
        return SizeBreakdown(parts.kind, parts.coder, parts.profile, (envelope, whole))
    try:
        opened = codec.open_rows(parts, None if profiles is None else lambda version: profiles(gateway, version))
    except UnknownProfileError:
        return SizeBreakdown(parts.kind, parts.coder, parts.profile, (envelope, Part(ROWS, "", len(parts.stream))))
    except ModelError as error:
        raise FormatError(str(error)) from error
    entries, consumed = opened.reader.entries, opened.reader.consumed
    pieces = {name: entry.payload for name, entry in entries.items()}
    rest = opened.head[: len(opened.head) - sum(entry.size for entry in entries.values())]
    coder = Coder(parts.stream[0]) if parts.coder is Coder.MODEL else parts.coder
    alone = [len(container.PACK[coder](piece)) for piece in (rest, *pieces.values())]
    share = (len(parts.stream) - sum(consumed.values())) / max(1, sum(alone))
    found = [envelope, Part(DIRECTORY, "", alone[0] * share)]
    for (name, entry), size in zip(entries.items(), alone[1:], strict=True):
        found.append(Part(Id(name).name.lower(), Mode(entry.mode).name.lower(), size * share + consumed.get(name, 0.0)))
    return SizeBreakdown(parts.kind, parts.coder, parts.profile, tuple(found))
