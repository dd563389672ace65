"""What the spool holds, noted a second time beside it, so that damage to its file costs little and is known exactly.

Two files, each a list of frames with a checksum. The first frames say everything, each later one what a commit changed:
rows as they are from then on, not what was done to them. The first file also has the payloads of the newest rows, so
that they survive what happens to the database; the second has the facts only, so that they survive what happens to the
first. A frame is written before its commit is made, and never waited for (no fsync): after a power cut the journal may
be behind the database, which then is right, and it is never more than one commit ahead.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

SUFFIXES = ("-journal-a", "-journal-b")
GROWN_BYTES = 1_000_000
"""A journal that has grown by so much, and to twice what it began with, is begun anew."""

_MAGIC = b"\xa5SJ1"
_HEAD = struct.Struct("<4sII")
_CHANGES_A_FRAME = 8
_PART = ".part"

Key = tuple[str, int | str]
"""A row's table and its key."""


class Change(NamedTuple):
    """A row as it is from now on (None: gone), and its payload where that is to be noted too."""

    key: Key
    values: Sequence[Any] | None
    payload: bytes = b""


class Moment(NamedTuple):
    """Where the spool stands: its epoch, the number of commits made, the last sequence number given."""

    epoch: int
    commits: int
    last: int


@dataclass(slots=True)
class Found:
    """What a journal says: rows by key, and all payloads that a key ever had; ``intact`` when no part is missing."""

    moment: Moment
    rows: dict[Key, list[Any]] = field(default_factory=dict)
    payloads: dict[Key, list[bytes]] = field(default_factory=dict)
    intact: bool = False


class _Frame(NamedTuple):
    moment: Moment
    base: bool
    part: int
    parts: int
    changes: list[Change]


class Journal:
    """The files beside the spool at ``path``; written through :meth:`add`, from which OSError comes as it is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: list[int] = []
        self._room = 0

    def add(self, moment: Moment, changes: list[Change], everything: Callable[[], Iterable[Change]]) -> None:
        """Note a commit that is about to be made; raises OSError when it is not noted, and must not be made."""
        try:
            whole, facts = _both(_frames(moment, changes, base=False))
            self._room -= len(whole)
            if self._room < 0:
                self._begin(moment, list(everything()))
                return
            for file, data in zip(self._files, (whole, facts), strict=True):
                _write(file, data)
        except BaseException:
            self.distrust()
            raise

    def distrust(self) -> None:
        """Begin anew with the next commit: what was noted last may never have been committed."""
        self._room = 0
        self.close()

    def close(self) -> None:
        """Close the files."""
        while self._files:
            os.close(self._files.pop())
        self._room = 0

    def _begin(self, moment: Moment, changes: list[Change]) -> None:
        self.close()
        whole, facts = _both(_frames(moment, changes, base=True))
        for suffix, data in zip(SUFFIXES, (whole, facts), strict=True):
            path = self._path.with_name(self._path.name + suffix)
            part = path.with_name(path.name + _PART)
            file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._files.append(file)
            _write(file, data)
            part.replace(path)
        self._room = max(GROWN_BYTES, len(whole))


def read(path: Path) -> Found | None:
    """Return what the journal beside the spool at ``path`` says, None where there is none that can be read."""
    files = []
    for suffix in SUFFIXES:
        with contextlib.suppress(FileNotFoundError):
            files.append(list(_decoded(path.with_name(path.name + suffix).read_bytes())))
    found = [_replayed(frames) for frames in files if frames]
    if len(found) == len(SUFFIXES) and not any(one.intact for one in found):
        found.append(_replayed([frame for frames in files for frame in frames]))
    if not found:
        return None
    best = max(found, key=lambda one: (one.intact, one.moment.commits))
    for frames in files:
        for frame in frames:
            for change in frame.changes:
                if change.payload:
                    best.payloads.setdefault(change.key, []).append(change.payload)
    return best


def _replayed(frames: list[_Frame]) -> Found:
    """Return what the frames amount to, those of one commit and of one beginning together."""
    commits: dict[int, dict[int, _Frame]] = {}
    first = max((frame.moment.commits for frame in frames if frame.base), default=None)
    for frame in frames:
        if first is None or frame.moment.commits > first or (frame.base and frame.moment.commits == first):
            commits.setdefault(frame.moment.commits, {})[frame.part] = frame
    order = sorted(commits)
    if len(order) > 1 and not _whole(commits[order[-1]]):
        commits.pop(order.pop())  # cut short, so its commit was never made
    newest = next(iter(commits[order[-1]].values()))
    found = Found(newest.moment)
    found.intact = first is not None and order == list(range(first, order[-1] + 1))
    for number in order:
        found.intact &= _whole(commits[number])
        for _, frame in sorted(commits[number].items()):
            for key, values, _ in frame.changes:
                if values is None:
                    found.rows.pop(key, None)
                else:
                    found.rows[key] = list(values)
    return found


def _whole(parts: dict[int, _Frame]) -> bool:
    return len(parts) == next(iter(parts.values())).parts


def _frames(moment: Moment, changes: list[Change], *, base: bool) -> Iterator[_Frame]:
    parts = max(1, -(-len(changes) // _CHANGES_A_FRAME))
    for part in range(parts):
        yield _Frame(moment, base, part, parts, changes[part * _CHANGES_A_FRAME :][:_CHANGES_A_FRAME])


def _both(frames: Iterable[_Frame]) -> tuple[bytes, bytes]:
    """Return the frames with and without payloads."""
    whole, facts = [], []
    for frame in frames:
        kept = [change.payload for change in frame.changes]
        whole.append(_encoded(frame, kept))
        facts.append(_encoded(frame, [b""] * len(kept)) if any(kept) else whole[-1])
    return b"".join(whole), b"".join(facts)


def _encoded(frame: _Frame, kept: list[bytes]) -> bytes:
    told = [(*change.key, change.values, len(payload)) for change, payload in zip(frame.changes, kept, strict=True)]
    moment = (f"{frame.moment.epoch:016x}", *frame.moment[1:])
    text = json.dumps([moment, int(frame.base), frame.part, frame.parts, told], separators=(",", ":")).encode()
    body = len(text).to_bytes(4, "little") + text + b"".join(kept)
    return _HEAD.pack(_MAGIC, len(body), zlib.crc32(body)) + body


def _decoded(data: bytes) -> Iterator[_Frame]:
    """Yield the frames that are sound, whatever lies between them."""
    at = data.find(_MAGIC)
    while at >= 0 and at + _HEAD.size <= len(data):
        _, size, crc = _HEAD.unpack_from(data, at)
        body = data[at + _HEAD.size : at + _HEAD.size + size]
        if len(body) == size >= 4 and zlib.crc32(body) == crc:
            yield _frame(body)
            at += _HEAD.size + size - 1
        at = data.find(_MAGIC, at + 1)


def _frame(body: bytes) -> _Frame:
    end = 4 + int.from_bytes(body[:4], "little")
    (epoch, commits, last), base, part, parts, told = json.loads(body[4:end])
    changes = []
    for table, key, values, size in told:
        changes.append(Change((table, key), values, body[end : end + size]))
        end += size
    return _Frame(Moment(int(epoch, 16), commits, last), bool(base), part, parts, changes)


def _write(file: int, data: bytes) -> None:
    if os.write(file, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
