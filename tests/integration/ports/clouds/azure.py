"""The Azure adapters, against Azurite and the stand-in of IoT Hub's service API."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from azure.core.pipeline.transport import HttpTransport, RequestsTransport
from azure.core.rest._requests_basic import RestRequestsTransportResponse

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
from device_sim.azure.iot_hub import LocalIotHub
from tests.integration.ports.cloud import CHANNEL_TYPES, Adapters, CapturedTable, MissingError
from tests.integration.ports.faults import Fault, Faults, FaultyClient, StoppedError

TABLES, CONTAINERS = ("telemetry", "alerts"), ("archive", "dead-letters", "large")


class _FaultyTransport(HttpTransport[Any, Any]):
    """Transport of a client, below its retries, with faults at its requests."""

    def __init__(self, faults: Faults) -> None:
        self._requests, self._faults = RequestsTransport(), faults

    def send(self, request: Any, **options: Any) -> Any:
        fault = self._faults.next()
        if fault is Fault.THROTTLED:
            return _busy(request)
        answer = self._requests.send(request, **options)
        if fault is Fault.STOPPED:
            raise StoppedError
        return answer

    def open(self) -> None:
        self._requests.open()

    def close(self) -> None:
        self._requests.close()

    def __enter__(self) -> _FaultyTransport:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _busy(request: Any) -> Any:
    """Return the answer of a service that limits the rate of requests."""
    answer = requests.Response()
    answer.status_code, answer.reason = 503, "Server Busy"
    answer.headers.update({"x-ms-error-code": "ServerBusy", "Content-Type": "text/plain", "Content-Length": "0"})
    answer.raw = io.BytesIO()
    return RestRequestsTransportResponse(request=request, internal_response=answer)


class _LocalAzure:
    def __init__(self, azurite: Azurite, hub: LocalIotHub, received: list[tuple[str, bytes]]) -> None:
        self.faults = Faults()
        self._received = received
        self._transport = transport = _FaultyTransport(self.faults)
        self._storage = of_connection_string(azurite.connection_string)
        self._faulty = of_connection_string(azurite.connection_string, {"transport": transport, "retry_total": 0})
        self._hub = IotHub(hub.connection_string, now_ms)
        for name in TABLES:
            self._storage.table(name).create_table()
        for name in CONTAINERS:
            self._storage.container(name).create_container()
        for name in CHANNEL_TYPES:
            self._storage.queue(name).create_queue()

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
    with azurite, LocalIotHub(deliver) as hub:
        hub.devices = _AnyDevice()
        running = _LocalAzure(azurite, hub, received)
        yield running
        running.close()
