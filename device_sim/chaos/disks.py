"""The disk under the forwarder's spool: full, read-only, with flipped bytes.

Where we may mount, it is a small file system of its own (tmpfs), which is really filled and really made read-only.
Elsewhere a full disk is what ``disk_keep_free_bytes`` makes of it, through a configuration update, and read-only are
the files (which does not impress a process of root's).
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
BALLAST = "ballast"
KEEP_FREE_BYTES = 0
"""What the forwarder leaves to others in a run: all of the small disk is its own."""

_FOREVER = 10**12
_MOUNT_SECONDS = 5.0


class Disk(Protocol):
    """What can happen to the forwarder's disk; ``how`` says by what means it does."""

    how: str

    def fill(self) -> None:
        """Take all free space."""

    def empty(self) -> None:
        """Give it back."""

    def read_only(self) -> None:
        """Let nothing be written; the forwarder must not run."""

    def writable(self) -> None:
        """Let it be written again."""


def make(folder: Path, configure: Callable[[dict[str, int]], bool]) -> Tmpfs | Permissions:
    """Return the disk for the forwarder's work folder; ``configure`` merges into its configuration."""
    return Tmpfs(folder) if can_mount() else Permissions(folder, configure)


def can_mount() -> bool:
    """Return whether file systems can be mounted here: that needs root, and a container that allows it."""
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            with Tmpfs(Path(folder)):
                return True
        except (ChaosError, OSError):
            return False


class Tmpfs:
    """A file system in memory; a context manager that unmounts it."""

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
        with (self._folder / BALLAST).open("ab", buffering=0) as ballast:
            for size in (1_048_576, 4096, 1):
                with contextlib.suppress(OSError):
                    while ballast.write(bytes(size)) == size:
                        pass

    def empty(self) -> None:
        """See Disk."""
        (self._folder / BALLAST).unlink(missing_ok=True)

    def read_only(self) -> None:
        """See Disk; raises ChaosError when something still writes there."""
        _run("mount", "-o", "remount,ro", str(self._folder))

    def writable(self) -> None:
        """See Disk."""
        _run("mount", "-o", f"remount,rw,size={SIZE}", str(self._folder))


class Permissions:
    """What can be done without root; a context manager that leaves files as they were."""

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


def flip(folder: Path, name: str, choice: float, most: int = 8) -> str | None:
    """Flip bits in one of the files whose names begin with ``name``, and say which; None when there are none.

    Whose files they are must not run. ``choice`` (0 to 1) decides how many, in which file, and where.
    """
    rng = random.Random(choice)  # noqa: S311 # a seeded fault, no secret
    # The index of SQLite's log is made anew by who opens it; what was damaged before lies there for people to look at.
    files = [
        file
        for file in sorted(folder.glob(f"{name}*"))
        if file.stat().st_size and not file.name.endswith("-shm") and ".damaged" not in file.name
    ]
    if not files:
        return None
    file = rng.choice(files)
    places = sorted(rng.randrange(file.stat().st_size) for _ in range(rng.randint(1, most)))
    try:
        with file.open("r+b") as raw:
            for place in places:
                raw.seek(place)
                old = raw.read(1)
                raw.seek(place)
                raw.write(bytes((old[0] ^ 1 << rng.randrange(8),)))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    return f"{len(places)} bits of {file.name} at {places}"


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 # our own arguments
    if done.returncode:
        raise ChaosError(f"{' '.join(command)}: {done.stderr.strip()}")
