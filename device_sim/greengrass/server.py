"""UNIX socket server of Greengrass IPC."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
from pathlib import Path

from device_sim.greengrass.connection import ByName, Connection, Dispatch
from device_sim.greengrass.errors import StartError
from device_sim.greengrass.identities import Tokens
from device_sim.greengrass.profile import Profile

MAX_PATH_BYTES = 100
"""A UNIX socket address has 108 bytes including its terminator."""
MAX_CONNECTIONS = 256
SOCKET = "ipc.socket"


class IpcServer:
    """Server on a socket that only this user can open."""

    def __init__(
        self,
        tokens: Tokens,
        dispatch: Dispatch,
        profile: Profile,
        log: logging.Logger,
        by_name: ByName | None = None,
    ) -> None:
        self._tokens, self._dispatch, self._profile, self._log = tokens, dispatch, profile, log
        self._by_name = by_name
        self._server: asyncio.Server | None = None
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self._temporary: Path | None = None
        self.path = Path()

    async def start(self, root: Path) -> None:
        """Listen at ``root``, or in a temporary folder when that path is too long for a socket."""
        self.path = root / SOCKET
        if len(os.fsencode(self.path)) > MAX_PATH_BYTES:
            self._temporary = Path(tempfile.mkdtemp(prefix="strandline-"))
            self.path = self._temporary / SOCKET
        self.path.unlink(missing_ok=True)
        previous = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._accept, self.path)
        except OSError as error:
            raise StartError(f"cannot listen on {self.path}: {error.strerror or error}") from error
        finally:
            os.umask(previous)

    async def close_connections(self) -> None:
        """Close every connection; the socket stays open."""
        for connection in tuple(self._connections):
            connection.abort()
        await asyncio.gather(*self._connections.values(), return_exceptions=True)

    async def stop(self) -> None:
        """Close every connection and remove the socket."""
        if self._server is not None:
            self._server.close()
        await self.close_connections()
        self.path.unlink(missing_ok=True)
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(
            reader, writer, self._tokens.holder, self._dispatch, self._profile, self._log, self._by_name
        )
        if len(self._connections) >= MAX_CONNECTIONS:
            self._log.warning("%d connections are open, one more is rejected", MAX_CONNECTIONS)
            connection.abort()
            return
        task = asyncio.current_task()
        if task is not None:
            self._connections[connection] = task
        try:
            await connection.serve()
        finally:
            self._connections.pop(connection, None)
