"""One lifecycle script as a process group of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from device_sim.nucleus.errors import ScriptError

SHELL = "/bin/sh"
POLL_SECONDS = 0.02
KILL_SECONDS = 5.0
"""How long a killed group may take to be gone before we stop looking (a process stuck in the kernel)."""
READ_BYTES = 65_536


class Script:
    """A running shell script, its output going to a log."""

    def __init__(self, process: asyncio.subprocess.Process, write: Callable[[bytes], None]) -> None:
        self._process = process
        self._pump = asyncio.create_task(self._copy(write))

    @classmethod
    async def start(
        cls, text: str, folder: Path, environment: Mapping[str, str], write: Callable[[bytes], None]
    ) -> Script:
        """Start ``text`` in a shell; raises ScriptError when it cannot be started."""
        try:
            process = await asyncio.create_subprocess_exec(
                SHELL,
                "-c",
                text,
                cwd=folder,
                env=dict(environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise ScriptError(f"cannot be started: {error}") from error
        return cls(process, write)

    @property
    def pid(self) -> int:
        """The shell's process id, which is the group's too."""
        return self._process.pid

    async def wait(self) -> int:
        """Return the exit code; negative for a signal. What the script left in its group goes on."""
        return await self._process.wait()

    async def end(self, grace: float) -> None:
        """End the whole group: SIGTERM, then SIGKILL after ``grace`` seconds; returns when no process is left."""
        if self._signal(signal.SIGTERM) and not await self._gone(grace):
            self._signal(signal.SIGKILL)
            await self._gone(KILL_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KILL_SECONDS):
                await self._process.wait()
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            # A process that left the group may hold the pipe for ever.
            await asyncio.wait_for(self._pump, timeout=0.5)

    def kill(self) -> None:
        """Kill the whole group at once, without waiting."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> bool:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    async def _gone(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while _alive(self.pid):
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True

    async def _copy(self, write: Callable[[bytes], None]) -> None:
        stdout = self._process.stdout
        if stdout is None:
            return
        while data := await stdout.read(READ_BYTES):
            write(data)


def _alive(group: int) -> bool:
    """Return whether a process that is no zombie is in the group (orphans may never be reaped in a container)."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    proc = Path("/proc")
    if not (proc / "self" / "stat").exists():
        return True
    return any(_member(entry, group) for entry in proc.iterdir() if entry.name.isdigit())


def _member(entry: Path, group: int) -> bool:
    try:
        # After the name in parentheses: state, parent, process group.
        state, _, pgrp = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
    except (OSError, ValueError):
        return False
    return int(pgrp) == group and state not in ("Z", "X")
