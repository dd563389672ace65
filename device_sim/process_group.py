"""End of process groups, for programs that start processes themselves."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

POLL_SECONDS = 0.02


def alive(group: int) -> bool:
    """Return whether the group has a process other than zombies (a container may never reap orphans)."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    proc = Path("/proc")
    if not (proc / "self" / "stat").exists():
        return True
    return any(_member(entry, group) for entry in proc.iterdir() if entry.name.isdigit())


def wait_until_ended(group: int, seconds: float) -> bool:
    """Wait until the group has ended and return True, or return False after ``seconds``.

    A process that was killed runs on until it is scheduled, which takes a moment on a busy machine.
    """
    deadline = time.monotonic() + seconds
    while alive(group):
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def end(leader: subprocess.Popen[bytes], seconds: float) -> None:
    """Terminate the leader of a group, kill what is left of the group after ``seconds``, and wait for its end.

    Safe to call again.
    """
    group = leader.pid
    if leader.poll() is None:
        leader.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            leader.wait(seconds)
    # Processes that the leader started, or the leader itself if it did not end.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
    leader.wait()
    wait_until_ended(group, seconds)


def _member(entry: Path, group: int) -> bool:
    try:
        # After the name in parentheses: state, parent, process group.
        state, _, pgrp = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
    except (OSError, ValueError):
        return False
    return int(pgrp) == group and state not in ("Z", "X")
