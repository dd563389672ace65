"""In-flight marker: a memory-mapped file that records whether a call of a model is running, and survives the process.

A counter in a file of 32 bytes grows by one before each call and after it, so it is odd during a call. The next process
reads the bytes that were written to the mapped file, regardless of how the process ended; no sync is needed. After a
power cut the disk may hold an earlier state, so the file also has the boot's id (``/proc/sys/kernel/random/boot_id``)
and is ignored in any other boot.
"""

from __future__ import annotations

import mmap
import uuid
from dataclasses import dataclass
from pathlib import Path

FILE = "in_flight"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TOGGLES, _HUNG_MS, _BOOT = 0, 1, slice(2, 4)
_SIZE = 32


@dataclass(frozen=True, slots=True)
class InterruptedCall:
    """The call that was running when a process ended: the number of calls before, and the seconds for which the
    watchdog saw it hang, 0 if it did not."""

    calls: int
    hung_s: float


class InFlightMarker:
    """One model's marker; without a path it is only in memory. Raises OSError if the file cannot be made."""

    def __init__(self, path: Path | None = None) -> None:
        self._cells = memoryview(bytearray(_SIZE) if path is None else _mapped(path)).cast("Q")
        self._cells[_BOOT] = memoryview(_boot()).cast("Q")

    @property
    def toggles(self) -> int:
        """Twice the number of finished calls, and one more during a call."""
        return self._cells[_TOGGLES]

    def toggle(self) -> None:
        """Record that a call begins, or that it has ended."""
        self._cells[_TOGGLES] += 1

    def record_hang(self, seconds: float) -> None:
        """Record for how long the current call has hung; called by another thread than the one in the call."""
        self._cells[_HUNG_MS] = round(seconds * 1000)


def read_interrupted(path: Path) -> InterruptedCall | None:
    """Return the call that was running when a process of this boot ended, None if no call was running."""
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    if len(raw) != _SIZE:
        return None
    cells = memoryview(raw).cast("Q")
    if cells[_BOOT].tobytes() != _boot() or cells[_TOGGLES] % 2 == 0:
        return None
    return InterruptedCall(cells[_TOGGLES] // 2, cells[_HUNG_MS] / 1000)


def _mapped(path: Path) -> mmap.mmap:
    with path.open("w+b") as file:
        file.write(bytes(_SIZE))  # written, not truncated to size, so that the space is allocated before the disk fills
        file.flush()
        return mmap.mmap(file.fileno(), _SIZE)


def _boot() -> bytes:
    try:
        return uuid.UUID(_BOOT_ID.read_text().strip()).bytes
    except (OSError, ValueError):
        return bytes(16)
