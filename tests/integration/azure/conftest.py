"""The Azure Functions over Azurite and the stand-in of IoT Hub's service API."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from cloud_functions.adapters.azure import handlers as functions
from cloud_functions.adapters.azure.handlers import Handlers, Options
from cloud_functions.adapters.azure.iot_hub import By, IotHub
from cloud_functions.adapters.azure.storage import Storage, of_connection_string
from cloud_functions.adapters.azure.table import AzureTable
from cloud_functions.clock import now_ms
from device_sim.azure.azurite import Azurite
from device_sim.azure.errors import AzuriteMissingError
from device_sim.azure.event_hub import DeviceMessage, events_of
from device_sim.azure.iot_hub import LocalIotHub, answering_by
from wire import codec
from wire.model import Batch

LOG = logging.getLogger("test.azure")


class Site:
    """The functions, and the messages that devices received."""

    def __init__(self, storage: Storage, hub: LocalIotHub, received: list[tuple[str, bytes]]) -> None:
        self.storage, self.hub, self.received = storage, hub, received
        self.now = now_ms()
        self.client = IotHub(hub.connection_string, now_ms)
        self._number = 0

    def handlers(self, by: By = By.MESSAGE) -> Handlers:
        return Handlers(self.storage, self.client, Options(acknowledge_by=by), lambda: self.now, LOG)

    def send(self, *batches: Batch, device: str | None = None, handlers: Handlers | None = None) -> None:
        """Run an invocation of ingest with batches, each from its own gateway or from ``device``."""
        messages = []
        for batch in batches:
            self._number += 1
            name = batch.gateway if device is None else device
            messages.append(DeviceMessage(name, codec.encode(batch), {"lane": "urgent"}, self.now, self._number))
        (handlers or self.handlers()).ingest(events_of(messages))

    def table(self, name: str) -> AzureTable:
        return AzureTable(self.storage.table(name))

    def taken(self, queue: str) -> list[str]:
        """Remove and return the messages of a queue."""
        client, found = self.storage.queue(queue), []
        for message in client.receive_messages(messages_per_page=32):
            found.append(str(message.content))
            client.delete_message(message)
        return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    received: list[tuple[str, bytes]] = []

    def deliver(device: str, payload: bytes) -> bool:
        received.append((device, payload))
        return True

    try:
        azurite = Azurite.start(tmp_path_factory.mktemp("azurite"))
    except AzuriteMissingError as error:
        pytest.skip(str(error))
    with azurite, LocalIotHub(deliver, answering_by(deliver)) as hub:
        hub.devices |= {f"gw-{n}" for n in range(20)}
        storage = of_connection_string(azurite.connection_string)
        functions.create(storage)
        running = Site(storage, hub, received)
        yield running
        running.client.close()
        storage.close()


@pytest.fixture(autouse=True)
def empty(site: Site) -> None:
    site.received.clear()
    for name in functions.QUEUES:
        site.storage.queue(name).clear_messages()
