"""The emulator of Cloud Storage ``gcp-storage-emulator``, as a thread on loopback with its content in memory."""

from __future__ import annotations

import importlib.util
import json
import urllib.request
from types import TracebackType
from typing import Any, Self

from device_sim.google.errors import EmulatorMissingError
from device_sim.simulation.sensor_broker import HOST, free_port


def check() -> None:
    """Raise EmulatorMissingError with the command that installs the emulator if it is not installed."""
    if importlib.util.find_spec("gcp_storage_emulator") is None:
        raise EmulatorMissingError("gcp-storage-emulator is not installed: pip install gcp-storage-emulator")


class CloudStorageEmulator:
    """A running emulator; a context manager."""

    def __init__(self) -> None:
        check()
        from gcp_storage_emulator.server import create_server

        port = free_port()
        self._server: Any = create_server(HOST, port, in_memory=True)
        self._server.start()
        self.url = f"http://{HOST}:{port}"

    def create_bucket(self, name: str) -> None:
        """Create a bucket."""
        request = urllib.request.Request(  # noqa: S310 # loopback
            f"{self.url}/storage/v1/b?project=local",
            json.dumps({"name": name}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 # loopback
            answer.read()

    def stop(self) -> None:
        """End the emulator."""
        self._server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()
