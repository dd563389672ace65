"""Control socket of a running local nucleus, which restarts one of its daemons; Greengrass has no equivalent.

A socket beside the IPC socket accepts one line of JSON, such as ``{"restart": "iotcored"}``, and answers ``{}`` after
the restart, or ``{"error": TEXT}``. ``python -m device_sim.greengrass.control ROOT DAEMON`` sends one.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from device_sim.greengrass.daemons import Daemons
from device_sim.greengrass.errors import DaemonError, NucleusError, StartError

SOCKET = "control.socket"
CLI_INFO = "cli_ipc_info.json"
MAX_LINE_BYTES = 4096
ANSWER_SECONDS = 30.0


class ControlServer:
    """Server on a socket that only this user can open."""

    def __init__(self, daemons: Daemons) -> None:
        self._daemons = daemons
        self._server: asyncio.Server | None = None
        self.path = Path()

    async def start(self, folder: Path) -> None:
        """Listen in ``folder``; raises StartError."""
        self.path = folder / SOCKET
        self.path.unlink(missing_ok=True)
        previous = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, self.path, limit=MAX_LINE_BYTES)
        except OSError as error:
            raise StartError(f"cannot listen on {self.path}: {error.strerror or error}") from error
        finally:
            os.umask(previous)

    async def stop(self) -> None:
        """Stop listening and remove the socket."""
        if self._server is not None:
            self._server.close()
            self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer: dict[str, str] = {}
            try:
                await self._daemons.restart(_daemon(await reader.readline()))
            except (NucleusError, ValueError) as error:  # ValueError: a line above the limit
                answer = {"error": str(error)}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except OSError:
            pass  # the client has disconnected
        finally:
            writer.close()


def _daemon(line: bytes) -> str:
    try:
        request = json.loads(line)
    except ValueError as error:
        raise DaemonError(f"{line[:100]!r} is not JSON: {error}") from error
    name = request.get("restart") if isinstance(request, dict) else None
    if not isinstance(name, str) or request.keys() != {"restart"}:
        raise DaemonError(f'{line[:100]!r}: {{"restart": DAEMON}} is allowed')
    return name


def restart(root: Path, daemon: str, seconds: float = ANSWER_SECONDS) -> None:
    """Restart a daemon of the nucleus on ``root`` and wait until it works again; raises DaemonError."""
    try:
        path = Path(json.loads((root / CLI_INFO).read_bytes())["control"])
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(seconds)
            connection.connect(str(path))
            connection.sendall(json.dumps({"restart": daemon}).encode() + b"\n")
            with connection.makefile("rb") as answers:
                answer = json.loads(answers.readline() or b'{"error": "the nucleus has closed the connection"}')
    except (OSError, ValueError, KeyError) as error:
        raise DaemonError(f"no nucleus answers on {root}: {error}") from error
    if "error" in answer:
        raise DaemonError(answer["error"])


def main(argv: Sequence[str]) -> int:
    """Restart a daemon and return the exit code."""
    if len(argv) != 2:
        sys.stderr.write("usage: python -m device_sim.greengrass.control ROOT DAEMON\n")
        return 2
    try:
        restart(Path(argv[0]), argv[1])
    except DaemonError as error:
        sys.stderr.write(f"control: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
