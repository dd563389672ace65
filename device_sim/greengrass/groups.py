"""Process groups on record, so that a nucleus that was killed leaves none behind for the next one on its root."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from pathlib import Path


class ProcessGroups:
    """One small file a running group; it holds when the group's leader was started, so that no other process of that
    number is ever taken for it.
    """

    def __init__(self, folder: Path, log: logging.Logger) -> None:
        self._folder, self._log = folder, log

    def add(self, group: int) -> None:
        """Record a group that has just been started."""
        started = _started(group)
        if started is not None:
            try:
                self._folder.mkdir(exist_ok=True)
                (self._folder / str(group)).write_text(started)
            except OSError as error:
                self._log.warning("process group %d cannot be recorded: %s", group, error)

    def remove(self, group: int) -> None:
        """Forget a group that has ended."""
        with contextlib.suppress(OSError):
            (self._folder / str(group)).unlink()

    def sweep(self) -> list[int]:
        """Kill what an earlier nucleus left running, and return those groups."""
        killed = []
        for record in sorted(self._folder.glob("[0-9]*")):
            with contextlib.suppress(OSError, ValueError):
                group, started = int(record.name), record.read_text()
                record.unlink()
                if started and _started(group) == started:
                    os.killpg(group, signal.SIGKILL)
                    killed.append(group)
                    self._log.warning("process group %d of an earlier nucleus was still there and is killed", group)
        return killed


def _started(pid: int) -> str | None:
    """Return the leader's start in clock ticks since the machine's start, or None when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
