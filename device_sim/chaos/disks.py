"""Faults of the forwarder's disk (full, read-only) and flipped bits in the files of components.

Where mounting is allowed, the disk is a separate small file system (tmpfs) that is filled and remounted read-only.
Elsewhere a full disk is simulated by ``disk_keep_free_bytes`` in a configuration update, and read-only by the files'
permissions (which do not affect a process of root).
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from device_sim.chaos.errors import ChaosError

SIZE = "24m"
SPOOL = "spool.sqlite3"
JOURNAL = "journal/segment-"
FILLER = "filler"
KEEP_FREE_BYTES = 0
"""The forwarder may use all of the small disk."""

_FOREVER = 10**12
_MOUNT_SECONDS = 5.0


class Disk(Protocol):
    """Faults of the forwarder's disk; ``how`` describes the method."""

    how: str

    def fill(self) -> None:
        """Fill all free space."""

    def empty(self) -> None:
        """Free the space again."""

    def read_only(self) -> None:
        """Allow no writes; the forwarder must not run."""

    def writable(self) -> None:
        """Allow writes again."""


def make(folder: Path, configure: Callable[[dict[str, int]], bool]) -> Tmpfs | Permissions:
    """Return the disk for the forwarder's work folder; ``configure`` merges into its configuration."""
    return Tmpfs(folder) if can_mount() else Permissions(folder, configure)


def can_mount() -> bool:
    """Return whether file systems can be mounted: this requires root, and permission in a container."""
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            with Tmpfs(Path(folder)):
                return True
        except (ChaosError, OSError):
            return False


class Tmpfs:
    """Disk on a file system in memory; a context manager that unmounts it."""

    how = f"tmpfs of {SIZE}, filled and remounted read-only"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0755", "strandline-chaos", str(self._folder))
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        deadline = time.monotonic() + _MOUNT_SECONDS
        while True:
            try:
                _run("umount", str(self._folder))
            except ChaosError:
                if time.monotonic() > deadline:
                    _run("umount", "-l", str(self._folder))
                    return
                time.sleep(0.1)
            else:
                return

    def fill(self) -> None:
        """See Disk."""
        with (self._folder / FILLER).open("ab", buffering=0) as filler:
            for size in (1_048_576, 4096, 1):
                with contextlib.suppress(OSError):
                    while filler.write(bytes(size)) == size:
                        pass

    def empty(self) -> None:
        """See Disk."""
        (self._folder / FILLER).unlink(missing_ok=True)

    def read_only(self) -> None:
        """See Disk; raises ChaosError while a process still writes there."""
        _run("mount", "-o", "remount,ro", str(self._folder))

    def writable(self) -> None:
        """See Disk."""
        _run("mount", "-o", f"remount,rw,size={SIZE}", str(self._folder))


class Permissions:
    """Disk faults that work without root; a context manager that restores the permissions."""

    how = "disk_keep_free_bytes by a configuration update, and files without write permission"

    def __init__(self, folder: Path, configure: Callable[[dict[str, int]], bool]) -> None:
        self._folder, self._configure = folder, configure

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.writable()

    def fill(self) -> None:
        """See Disk."""
        self._configure({"disk_keep_free_bytes": _FOREVER})

    def empty(self) -> None:
        """See Disk."""
        self._configure({"disk_keep_free_bytes": KEEP_FREE_BYTES})

    def read_only(self) -> None:
        """See Disk."""
        for file in self._folder.glob(f"{SPOOL}*"):
            file.chmod(0o444)
        self._folder.chmod(0o555)

    def writable(self) -> None:
        """See Disk."""
        self._folder.chmod(0o755)
        for file in self._folder.glob(f"{SPOOL}*"):
            file.chmod(0o644)


def flip(folder: Path, name: str, choice: float, max_bits: int = 8) -> str | None:
    """Flip bits in one of the files whose paths begin with ``name`` and return a description; None without files.

    The component that owns them must not run. ``choice`` (0 to 1) selects the number of bits, the file and the offsets.
    """
    rng = random.Random(choice)  # noqa: S311 # a seeded fault, no secret
    # SQLite rebuilds the index of its log; files damaged earlier are kept for examination only.
    files = [
        file
        for file in sorted(folder.glob(f"{name}*"))
        if file.stat().st_size and not file.name.endswith("-shm") and ".damaged" not in file.name
    ]
    if not files:
        return None
    file = rng.choice(files)
    try:
        size = _used_bytes(file)
        offsets = sorted(rng.randrange(size) for _ in range(rng.randint(1, max_bits)))
        with file.open("r+b") as raw:
            for offset in offsets:
                raw.seek(offset)
                old = raw.read(1)
                raw.seek(offset)
                raw.write(bytes((old[0] ^ 1 << rng.randrange(8),)))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    return f"{len(offsets)} bits of {file.name} at {offsets}"


def _used_bytes(file: Path) -> int:
    """Return the size up to the last byte that is not 0: segments are preallocated."""
    return len(file.read_bytes().rstrip(b"\0")) or 1


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 # our own arguments
    if done.returncode:
        raise ChaosError(f"{' '.join(command)}: {done.stderr.strip()}")
