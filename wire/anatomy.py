"""What each part of a batch takes, for people who look into one."""

from __future__ import annotations

from dataclasses import dataclass

from wire import codec, container
from wire.codec import Profiles
from wire.columns import Id, Mode
from wire.container import Coder, Kind
from wire.errors import FormatError, ModelError, UnknownProfileError

ENVELOPE, DIRECTORY, ROWS = "envelope", "directory", "rows"
"""The parts that are no columns: name and checksum; names and kinds of series, row counts, first times; and all that
cannot be told apart."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a batch: its name, how it is written, and the bytes it takes (columns packed together share theirs)."""

    name: str
    mode: str
    bytes: float


@dataclass(frozen=True, slots=True)
class Anatomy:
    """How a batch is packed, and what its parts take; they add up to its size."""

    kind: Kind
    coder: Coder
    profile: int | None
    parts: tuple[Part, ...]


def anatomy(data: bytes, profiles: Profiles | None = None) -> Anatomy:
    """Return the anatomy of a batch; raises DecodeError.

    What the model coded is told to a fraction of a byte. Of what was packed as a whole, a part's share is by the size
    that it has packed alone. Where the profile that it names is not found, all columns are one part.
    """
    gateway, _, _, packed = container.unseal(data)
    parts = container.unpack(packed)
    envelope = Part(ENVELOPE, "", len(data) - len(parts.stream))
    if parts.kind not in (Kind.READINGS, Kind.AGGREGATES):
        whole = Part(parts.kind.name.lower(), "json" if parts.kind is not Kind.PROFILE else "", len(parts.stream))
        return Anatomy(parts.kind, parts.coder, parts.profile, (envelope, whole))
    try:
        opened = codec.open_rows(parts, None if profiles is None else lambda version: profiles(gateway, version))
    except UnknownProfileError:
        return Anatomy(parts.kind, parts.coder, parts.profile, (envelope, Part(ROWS, "", len(parts.stream))))
    except ModelError as error:
        raise FormatError(str(error)) from error
    entries, spent = opened.reader.entries, opened.reader.spent
    pieces = {name: entry.payload for name, entry in entries.items()}
    rest = opened.head[: len(opened.head) - sum(entry.size for entry in entries.values())]
    coder = Coder(parts.stream[0]) if parts.coder is Coder.MODEL else parts.coder
    alone = [len(container.PACK[coder](piece)) for piece in (rest, *pieces.values())]
    share = (len(parts.stream) - sum(spent.values())) / max(1, sum(alone))
    found = [envelope, Part(DIRECTORY, "", alone[0] * share)]
    for (name, entry), size in zip(entries.items(), alone[1:], strict=True):
        found.append(Part(Id(name).name.lower(), Mode(entry.mode).name.lower(), size * share + spent.get(name, 0.0)))
    return Anatomy(parts.kind, parts.coder, parts.profile, tuple(found))
