"""The in-memory fakes that the unit tests use; the client of each is the fake itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cloud_functions.core.errors import StoreError
from tests.integration.ports.cloud import CHANNEL_TYPES, Adapters
from tests.integration.ports.faults import Faults, FaultyClient
from tests.unit.cloud.fakes import FakeDeadLetterSink, FakeTable
from tests.unit.cloud.test_compaction import FakeArchive


class _Acknowledger:
    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []

    def send(self, gateway: str, payload: bytes) -> None:
        self.sent.append((gateway, payload))


class _Outbox:
    def __init__(self) -> None:
        self.queues: dict[str, list[str]] = {name: [] for name in CHANNEL_TYPES}

    def put(self, channel_type: str, bodies: Sequence[str]) -> None:
        self.queues[channel_type] += bodies


class _MemoryCloud:
    def __init__(self) -> None:
        self.faults = Faults()
        self._telemetry, self._alerts = FakeTable(), FakeTable()
        self._archive, self._acknowledger = FakeArchive(), _Acknowledger()
        self._dead_letters, self._outbox = FakeDeadLetterSink(), _Outbox()

    def connect(self) -> Adapters:
        def port(fake: object) -> Any:
            return FaultyClient(fake, self.faults, lambda name: StoreError(f"{name}: throttled"))

        return Adapters(
            port(self._telemetry),
            port(self._alerts),
            port(self._archive),
            port(self._acknowledger),
            port(self._dead_letters),
            port(self._outbox),
        )

    def acknowledged(self) -> list[tuple[str, bytes]]:
        sent, self._acknowledger.sent = self._acknowledger.sent, []
        return sent

    def kept(self) -> list[tuple[str, dict[str, str]]]:
        kept, self._dead_letters.kept = self._dead_letters.kept, []
        return kept

    def queued(self, channel_type: str) -> list[str]:
        queued, self._outbox.queues[channel_type] = self._outbox.queues[channel_type], []
        return queued


@contextmanager
def start(root: Path) -> Iterator[_MemoryCloud]:
    """Yield the fakes."""
    yield _MemoryCloud()
