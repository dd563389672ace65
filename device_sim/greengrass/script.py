"""Lifecycle script that runs in its own process group."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from device_sim.greengrass.errors import ScriptError
from device_sim.process_group import alive

SHELL = "/bin/sh"
POLL_SECONDS = 0.02
KILL_SECONDS = 5.0
"""Maximum wait for the end of a killed group (a process can be stuck in the kernel)."""
DRAIN_SECONDS = 0.5
READ_BYTES = 65_536


class Script:
    """Running shell script whose output goes to a log."""

    def __init__(self, process: asyncio.subprocess.Process, output: _Output) -> None:
        self._process, self._output = process, output

    @classmethod
    async def start(
        cls, text: str, folder: Path, environment: Mapping[str, str], write: Callable[[bytes], None]
    ) -> Script:
        """Start ``text`` in a shell; raises ScriptError when it cannot be started."""
        try:
            # A separate pipe: with asyncio's, wait() would wait for every process that holds the other end.
            ours, theirs = os.pipe()
        except OSError as error:
            raise ScriptError(f"cannot be started: {error}") from error
        try:
            output = await _Output.open(ours, write)
            process = await asyncio.create_subprocess_exec(
                SHELL,
                "-c",
                text,
                cwd=folder,
                env=dict(environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise ScriptError(f"cannot be started: {error}") from error
        finally:
            os.close(theirs)
        return cls(process, output)

    @property
    def pid(self) -> int:
        """Process id of the shell, which is also the id of the group."""
        return self._process.pid

    async def wait(self) -> int:
        """Wait for the exit code, negative for a signal; other processes of the group continue."""
        return await self._process.wait()

    async def end(self, grace: float) -> None:
        """End the whole group with SIGTERM, then SIGKILL after ``grace`` seconds, and wait until it has ended."""
        if self._signal(signal.SIGTERM) and not await self._gone(grace):
            self._signal(signal.SIGKILL)
            await self._gone(KILL_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KILL_SECONDS):
                await self._process.wait()
        await self._output.close()

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
        while alive(self.pid):
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True


class _Output:
    """Reader that copies a pipe to a log until the other end is closed."""

    def __init__(self, reader: asyncio.StreamReader, transport: asyncio.ReadTransport, write: Callable[[bytes], None]):
        self._reader, self._transport, self._write = reader, transport, write
        self._copying = asyncio.create_task(self._copy())

    @classmethod
    async def open(cls, descriptor: int, write: Callable[[bytes], None]) -> _Output:
        """Read from ``descriptor``, and close it at the end."""
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(descriptor, "rb", buffering=0)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        return cls(reader, transport, write)

    async def close(self) -> None:
        """Read the remaining output for a limited time; a process that left its group may hold the pipe forever."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._copying, DRAIN_SECONDS)
        self._transport.close()

    async def _copy(self) -> None:
        while data := await self._reader.read(READ_BYTES):
            self._write(data)
