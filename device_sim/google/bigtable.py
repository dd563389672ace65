"""The emulator of Bigtable from Google's Go client library, as a process on loopback.

``go install cloud.google.com/go/bigtable/cmd/emulator@v1.58.0`` makes it; the Google Cloud SDK has the same as
``cbtemulator``. It keeps its content in memory.
"""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigtable
from google.cloud.bigtable import column_family, data
from google.cloud.bigtable.data import BigtableDataClient

from cloud_functions.adapters.google.bigtable_rows import CHANGES, EXPIRING, PERMANENT
from device_sim.google.errors import EmulatorMissingError, GoogleError

PROJECT, INSTANCE = "local", "strandline"
_VARIABLE = "BIGTABLE_EMULATOR_HOST"
HELP = "the Bigtable emulator is not installed (go install cloud.google.com/go/bigtable/cmd/emulator@v1.58.0)"


def find_emulator() -> str | None:
    """Return the path of the emulator, None if it is not installed."""
    folders = os.pathsep.join((os.environ.get("PATH", ""), os.environ.get("GOBIN", ""), str(Path.home() / "go/bin")))
    return shutil.which("cbtemulator", path=folders) or shutil.which(str(Path.home() / "go/bin/emulator"))


def installed() -> str:
    """Return the path of the emulator; raises EmulatorMissingError with the command that installs it."""
    program = find_emulator()
    if program is None:
        raise EmulatorMissingError(HELP)
    return program


class BigtableEmulator:
    """A running emulator; a context manager."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 # a program found by its name
            [installed(), "-host", "127.0.0.1", "-port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        stream = self._process.stdout
        line = stream.readline() if stream is not None else ""
        self.address = line.strip().rpartition(" ")[2]
        if "running" not in line:
            self.stop()
            raise GoogleError(f"the Bigtable emulator did not start: {line.strip()[:300]}")
        self._clients: list[BigtableDataClient] = []

    def create_table(self, name: str) -> None:
        """Create a table with the column families of the adapter."""
        with self._environment():
            client = bigtable.Client(project=PROJECT, credentials=AnonymousCredentials(), admin=True)
            rule = column_family.MaxAgeGCRule(datetime.timedelta(seconds=1))
            client.instance(INSTANCE).table(name).create(
                column_families={PERMANENT: None, CHANGES: None, EXPIRING: rule}
            )

    def table(self, name: str) -> data.Table:
        """Return a client of a table."""
        with self._environment():
            client = BigtableDataClient(project=PROJECT, credentials=AnonymousCredentials())
        self._clients.append(client)
        return client.get_table(INSTANCE, name)

    def stop(self) -> None:
        """Close the clients and end the process."""
        for client in getattr(self, "_clients", ()):
            client.close()
        self._process.terminate()
        self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()

    @contextmanager
    def _environment(self) -> Iterator[None]:
        """Set the variable that the client libraries read when a client is made."""
        before = os.environ.get(_VARIABLE)
        os.environ[_VARIABLE] = self.address
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Connecting to Bigtable emulator", RuntimeWarning)
                yield
        finally:
            if before is None:
                del os.environ[_VARIABLE]
            else:
                os.environ[_VARIABLE] = before

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()
