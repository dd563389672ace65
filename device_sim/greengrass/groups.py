"""Record of running process groups, so that a nucleus ends those left by a killed nucleus on the same root."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from pathlib import Path


class ProcessGroups:
    """Record with one file per running group.

    The file contains the start time of the group's leader, so that another process with the same id is not killed.
    """

    def __init__(self, folder: Path, log: logging.Logger) -> None:
        self._folder, self._log = folder, log

    def add(self, group: int) -> None:
        """Record a new group."""
        started = _started(group)
        if started is not None:
            try:
                self._folder.mkdir(exist_ok=True)
                (self._folder / str(group)).write_text(started)
            except OSError as error:
                self._log.warning("process group %d cannot be recorded: %s", group, error)

    def remove(self, group: int) -> None:
        """Remove the record of a group that has ended."""
        with contextlib.suppress(OSError):
            (self._folder / str(group)).unlink()

    def sweep(self) -> list[int]:
        """Kill the groups left by an earlier nucleus and return them."""
        killed = []
        for record in sorted(self._folder.glob("[0-9]*")):
            with contextlib.suppress(OSError, ValueError):
                group, started = int(record.name), record.read_text()
                record.unlink()
                if started and _started(group) == started:
                    os.killpg(group, signal.SIGKILL)
                    killed.append(group)
                    self._log.warning("process group %d of an earlier nucleus was still running and is killed", group)
        return killed


def _started(pid: int) -> str | None:
    """Return the leader's start time in clock ticks since boot, or None when the process does not exist."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
