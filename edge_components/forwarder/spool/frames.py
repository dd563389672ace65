"""Frames of the spool's journal: a commit, or a part of a snapshot, as bytes with a checksum. Pure.

A frame holds metadata as deflated JSON under a CRC-32, followed by payloads. A payload is covered by the digest in the
values of its row, so that damage to it leaves the metadata readable. A frame repeats the metadata of the previous
commit, so that metadata is stored four times (two frames in each of two files) and a payload twice.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MAX_CHANGES = 8
"""Maximum changes in a frame. A larger commit has several frames, so that a flipped bit affects few rows."""
_DEFLATE_FROM = 64
"""Minimum size of a payload that is deflated."""
_MAGIC, _MAGIC_1 = b"\xa5SJ2", b"\xa5SJ1"
_HEAD = struct.Struct("<4sIII")
_HEAD_1 = struct.Struct("<4sII")

Key = tuple[str, int | str]
"""Table and primary key of a row."""


class Change(NamedTuple):
    """State of a row after a commit (``values`` None: deleted), with its payload if the journal stores it."""

    key: Key
    values: Sequence[Any] | None
    payload: bytes = b""


class StateVersion(NamedTuple):
    """Version of the spool's state: epoch, number of commits, last assigned sequence number."""

    epoch: int
    commits: int
    last: int


@dataclass(slots=True)
class Frame:
    """One part of a commit or of a snapshot (``base``).

    ``durable`` is the last commit that was synced when the frame was written (-1 in the first format, whose writer
    synced the database at each commit). ``stored`` holds the keys whose payload was written with the frame; a payload
    that does not match its digest is read as empty.
    """

    version: StateVersion
    base: bool
    part: int
    parts: int
    durable: int
    changes: list[Change] = field(default_factory=list)
    stored: set[Key] = field(default_factory=set)


def digest(table: str, payload: bytes) -> int:
    """Return the digest of a payload, which is the last of its row's values.

    For a batch it is the CRC-32. A pending payload ends with its own CRC-32, so the CRC-32 of all of them is equal.
    """
    if table == "batches":
        return zlib.crc32(payload)
    return int.from_bytes(hashlib.blake2b(payload, digest_size=6).digest(), "big")


def frames(version: StateVersion, changes: Sequence[Change], *, base: bool, durable: int) -> list[Frame]:
    """Return the frames of a commit or of a snapshot."""
    parts = max(1, -(-len(changes) // MAX_CHANGES))
    return [
        Frame(version, base, part, parts, durable, list(changes[part * MAX_CHANGES :][:MAX_CHANGES]))
        for part in range(parts)
    ]


def encode(frame: Frame, previous: Frame | None = None, *, payloads: bool = True) -> bytes:
    """Return a frame's bytes with the metadata of the ``previous`` frame, with or without its payloads."""
    stored = [_deflated(change.payload) if payloads else (0, b"") for change in frame.changes]
    metadata = [_metadata(frame, [size for size, _ in stored])]
    if previous is not None:
        metadata.append(_metadata(previous, [0] * len(previous.changes)))
    text = zlib.compress(json.dumps(metadata, separators=(",", ":")).encode())
    payload = b"".join(data for _, data in stored)
    lengths = struct.pack("<II", len(text), len(payload))
    return _MAGIC + lengths + zlib.crc32(lengths + text).to_bytes(4, "little") + text + payload


def decode(data: bytes) -> Iterator[Frame]:
    """Yield the valid frames and the ones repeated in them; skip all other bytes."""
    at = data.find(_MAGIC[:3])
    while at >= 0:
        length = 0
        if data.startswith(_MAGIC, at):
            length = yield from _decode_frame(data, at)
        elif data.startswith(_MAGIC_1, at):
            length = yield from _decode_version_1(data, at)
        at = data.find(_MAGIC[:3], at + max(1, length))


def _deflated(payload: bytes) -> tuple[int, bytes]:
    """Return size and bytes of a stored payload: deflated, with a negative size, if that is smaller."""
    smaller = zlib.compress(payload, 1) if len(payload) >= _DEFLATE_FROM else payload
    return (-len(smaller), smaller) if len(smaller) < len(payload) else (len(payload), payload)


def _metadata(frame: Frame, sizes: list[int]) -> list[Any]:
    rows = [(*change.key, change.values, size) for change, size in zip(frame.changes, sizes, strict=True)]
    version = (f"{frame.version.epoch:016x}", *frame.version[1:])
    return [version, int(frame.base), frame.part, frame.parts, frame.durable, rows]


def _decode_frame(data: bytes, at: int) -> Generator[Frame, None, int]:
    """Yield the frames at offset ``at`` and return their length, 0 if the bytes are not a valid frame."""
    if at + _HEAD.size > len(data):
        return 0
    _, size, payload, crc = _HEAD.unpack_from(data, at)
    start = at + _HEAD.size
    text = data[start : start + size]
    if len(text) != size or zlib.crc32(data[at + 4 : at + 12] + text) != crc:
        return 0
    for metadata in json.loads(zlib.decompress(text)):
        yield _frame(metadata, data, start + size)
    return int(_HEAD.size + size + payload)


def _decode_version_1(data: bytes, at: int) -> Generator[Frame, None, int]:
    """Yield a frame of the first format, with one checksum over metadata and payloads, and return its length."""
    if at + _HEAD_1.size > len(data):
        return 0
    _, size, crc = _HEAD_1.unpack_from(data, at)
    body = data[at + _HEAD_1.size : at + _HEAD_1.size + size]
    if not len(body) == size >= 4 or zlib.crc32(body) != crc:
        return 0
    end = 4 + int.from_bytes(body[:4], "little")
    version, base, part, parts, rows = json.loads(body[4:end])
    yield _frame([version, base, part, parts, -1, rows], body, end)
    return int(_HEAD_1.size + size)


def _frame(metadata: list[Any], data: bytes, at: int) -> Frame:
    (epoch, commits, last), base, part, parts, durable, rows = metadata
    frame = Frame(StateVersion(int(epoch, 16), commits, last), bool(base), part, parts, durable)
    for table, key, values, size in rows:
        payload = data[at : at + abs(size)]
        if size:
            frame.stored.add((table, key))
            payload = _inflated(payload) if size < 0 else payload
            if digest(table, payload) != values[-1]:
                payload = b""
        frame.changes.append(Change((table, key), values, payload))
        at += abs(size)
    return frame


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompress(data)
    except zlib.error:
        return b""
