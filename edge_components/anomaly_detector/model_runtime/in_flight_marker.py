"""A mark on disk that says whether a model is at work: it outlives the process, and costs next to nothing.

A file of 32 bytes is mapped into memory, and a number in it grows by one before each call and after it, so that it is
odd while the model is at work. What a process wrote into a mapped file is there for the next one, however the process
died; nothing is synced for it. After a power cut the disk may hold any former state of it, so it also says in which
boot it was written (``/proc/sys/kernel/random/boot_id``), and counts in no other.
"""

from __future__ import annotations

import mmap
import uuid
from dataclasses import dataclass
from pathlib import Path

FILE = "at_work"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TURNS, _STILL_MS, _BOOT = 0, 1, slice(2, 4)
_SIZE = 32


@dataclass(frozen=True, slots=True)
class Left:
    """What a model at work left behind when its process ended: the calls before, and how long it had stood still.

    ``still_s`` is 0 where nobody noted that.
    """

    calls: int
    still_s: float


class Mark:
    """One model's mark; raises OSError where the file cannot be made. Without a path it outlives nothing."""

    def __init__(self, path: Path | None = None) -> None:
        self._cells = memoryview(bytearray(_SIZE) if path is None else _mapped(path)).cast("Q")
        self._cells[_BOOT] = memoryview(_boot()).cast("Q")

    @property
    def turns(self) -> int:
        """Calls twice, and one more while one goes on."""
        return self._cells[_TURNS]

    def turn(self) -> None:
        """Say that a call begins, or that it has ended."""
        self._cells[_TURNS] += 1

    def note_still(self, seconds: float) -> None:
        """Say that the call that goes on has stood still for so long; for another thread than the one that calls."""
        self._cells[_STILL_MS] = round(seconds * 1000)


def left(path: Path) -> Left | None:
    """Return what an ended process of this boot left in a model's mark; None where the model was not at work."""
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    if len(raw) != _SIZE:
        return None
    cells = memoryview(raw).cast("Q")
    if cells[_BOOT].tobytes() != _boot() or cells[_TURNS] % 2 == 0:
        return None
    return Left(cells[_TURNS] // 2, cells[_STILL_MS] / 1000)


def _mapped(path: Path) -> mmap.mmap:
    with path.open("w+b") as file:
        file.write(bytes(_SIZE))  # not truncated to size: a disk that fills up later must have its place already
        file.flush()
        return mmap.mmap(file.fileno(), _SIZE)


def _boot() -> bytes:
    try:
        return uuid.UUID(_BOOT_ID.read_text().strip()).bytes
    except (OSError, ValueError):
        return bytes(16)
