"""The Azure adapters, against Azurite and the stand-in of IoT Hub's service API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloud_functions.adapters.azure.blob_archive import BlobArchive
from cloud_functions.adapters.azure.iot_hub import IotHub, IotHubAcknowledger
from cloud_functions.adapters.azure.queues import BlobDeadLetterSink, QueueOutbox, read_dead_letter, read_delivery
from cloud_functions.adapters.azure.storage import of_connection_string
from cloud_functions.adapters.azure.table import AzureTable
from cloud_functions.adapters.azure.table_changes import ChangeLog
from cloud_functions.adapters.change_relay import alerts
from cloud_functions.clock import now_ms
from cloud_functions.core.ports import NowMs
from device_sim.azure.azurite import Azurite
from device_sim.azure.errors import AzuriteMissingError
from device_sim.azure.function_faults import FaultyTransport, RequestFault
from device_sim.azure.iot_hub import LocalIotHub, answering_by
from tests.integration.ports.cloud import CHANNEL_TYPES, Adapters, CapturedTable, MissingError
from tests.integration.ports.faults import Fault, Faults, FaultyClient, StoppedError

TABLES, CONTAINERS = ("telemetry", "alerts"), ("archive", "dead-letters", "large")


_REQUEST_FAULTS = {Fault.THROTTLED: RequestFault.THROTTLED, Fault.STOPPED: RequestFault.STOPPED}


class _LocalAzure:
    def __init__(self, azurite: Azurite, hub: LocalIotHub, received: list[tuple[str, bytes]]) -> None:
        self.faults = Faults()
        self._received = received
        self._transport = transport = FaultyTransport(self._next_fault, StoppedError)
        self._storage = of_connection_string(azurite.connection_string)
        self._faulty = of_connection_string(azurite.connection_string, {"transport": transport, "retry_total": 0})
        self._hub = IotHub(hub.connection_string, now_ms)
        for name in TABLES:
            self._storage.table(name).create_table()
        for name in CONTAINERS:
            self._storage.container(name).create_container()
        for name in CHANNEL_TYPES:
            self._storage.queue(name).create_queue()

    def _next_fault(self, _url: str) -> RequestFault | None:
        fault = self.faults.next()
        return None if fault is None else _REQUEST_FAULTS[fault]

    def connect(self) -> Adapters:
        request = FaultyClient(self._hub, self.faults, lambda _: OSError("503"))
        queues = {name: self._faulty.queue(name) for name in CHANNEL_TYPES}
        return Adapters(
            AzureTable(self._faulty.table("telemetry")),
            AzureTable(self._faulty.table("alerts")),
            BlobArchive(self._faulty.container("archive")),
            IotHubAcknowledger(request.request),
            BlobDeadLetterSink(self._faulty.container("dead-letters")),
            QueueOutbox(queues, self._faulty.container("large")),
        )

    def captured(self, now_ms: NowMs) -> CapturedTable:
        woken: list[str] = []
        client = self._faulty.table("alerts")
        changes = ChangeLog(client, alerts, now_ms, woken.append)
        return CapturedTable(AzureTable(client, changes), changes, woken)

    def close(self) -> None:
        self._transport.close()
        self._storage.close()
        self._hub.close()

    def acknowledged(self) -> list[tuple[str, bytes]]:
        found = list(self._received)
        self._received.clear()
        return found

    def kept(self) -> list[tuple[str, dict[str, str]]]:
        container = self._storage.container("dead-letters")
        found = []
        for name in list(container.list_blob_names()):
            found.append(read_dead_letter(container.download_blob(name).readall()))
            container.delete_blob(name)
        return found

    def queued(self, channel_type: str) -> list[str]:
        queue, found = self._storage.queue(channel_type), []
        for message in queue.receive_messages(messages_per_page=32):
            found.append(read_delivery(message.content, self._storage.container("large")))
            queue.delete_message(message)
        return found


class _AnyDevice(set[str]):
    """Registered devices: all, because each test has its own gateways."""

    def __contains__(self, device: object) -> bool:
        return True


@contextmanager
def start(root: Path) -> Iterator[_LocalAzure]:
    """Start Azurite and the stand-in of IoT Hub, and create what the adapters use."""
    received: list[tuple[str, bytes]] = []

    def deliver(device: str, payload: bytes) -> bool:
        received.append((device, payload))
        return True

    try:
        azurite = Azurite.start(root)
    except AzuriteMissingError as error:
        raise MissingError(str(error)) from error
    with azurite, LocalIotHub(deliver, answering_by(deliver), units=1_000) as hub:
        hub.devices = _AnyDevice()
        running = _LocalAzure(azurite, hub, received)
        yield running
        running.close()
