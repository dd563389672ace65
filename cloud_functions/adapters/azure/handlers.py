"""Handlers of the Azure Functions. ``cloud_functions/azure/function_app.py`` binds them to their triggers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import azure.functions as func

from cloud_functions.adapters import functions
from cloud_functions.adapters.azure.blob_archive import BlobArchive
from cloud_functions.adapters.azure.events import envelopes_of
from cloud_functions.adapters.azure.expiry import remove_expired
from cloud_functions.adapters.azure.iot_hub import By, IotHub, IotHubAcknowledger
from cloud_functions.adapters.azure.queues import BlobDeadLetterSink, QueueOutbox, read_delivery
from cloud_functions.adapters.azure.relay import Waker
from cloud_functions.adapters.azure.storage import Storage
from cloud_functions.adapters.azure.table import AzureTable
from cloud_functions.adapters.azure.table_changes import ChangeLog
from cloud_functions.adapters.change_relay import Relay, alerts, anomalies
from cloud_functions.adapters.functions import Functions, Stores, left_of
from cloud_functions.core.channels import ChannelType
from cloud_functions.core.errors import StoreError
from cloud_functions.core.ingest_run import Message
from cloud_functions.core.ports import NowMs

TABLES = ("telemetry", "alerts")
CONTAINERS = ("archive", "dead-letters", "large")
RETRY, CHANGES = "retry", "changes"
QUEUES = (RETRY, CHANGES, *(f"channel-{kind}" for kind in ChannelType))
TIMEOUT_MS = 300_000
"""Longest run of a function (host.json)."""
_RETRY_SOURCE = "retry"


@dataclass(frozen=True, slots=True)
class Options(functions.Options):
    """Settings of the functions."""

    acknowledge_by: By = By.MESSAGE


class Handlers:
    """The functions of an app over a storage account and a hub."""

    def __init__(self, storage: Storage, hub: IotHub, options: Options, now_ms: NowMs, log: logging.Logger) -> None:
        self._storage, self._options, self._now_ms, self._log = storage, options, now_ms, log
        logs = change_logs(storage, now_ms)
        self._large = storage.container("large")
        self._retry = QueueOutbox({RETRY: storage.queue(RETRY)}, self._large)
        channels = {str(kind): storage.queue(f"channel-{kind}") for kind in ChannelType}
        stores = Stores(
            telemetry=AzureTable(storage.table("telemetry"), logs["telemetry"]),
            alerts=AzureTable(storage.table("alerts"), logs["alerts"]),
            archive=BlobArchive(storage.container("archive")),
            acknowledger=IotHubAcknowledger(hub.request, options.acknowledge_by),
            dead_letters=BlobDeadLetterSink(storage.container("dead-letters")),
            outbox=QueueOutbox(channels, self._large),
        )
        self._functions = Functions(stores, options, now_ms, log)
        self.metrics = self._functions.metrics
        self._relay = Relay(logs, self._functions.process)

    def ingest(self, events: Sequence[func.EventHubEvent]) -> None:
        """Store and acknowledge the batches of events; those that are not stored go to the queue ``retry``.

        The trigger cannot repeat a part of its events. Raises StoreError if the queue does not take them: then all are
        repeated. The gateway also sends again what is not acknowledged.
        """
        bodies = envelopes_of(events, self._now_ms())
        again = self._ingest([Message(str(at), body, "") for at, body in enumerate(bodies)])
        self._retry.put(RETRY, [message.body for message in again])

    def ingest_again(self, message: func.QueueMessage) -> None:
        """Store and acknowledge a batch of the queue ``retry``; raises StoreError if it must be delivered again."""
        body = read_delivery(message.get_body().decode(), self._large)
        if self._ingest([Message(str(message.id), body, _RETRY_SOURCE)]):
            raise StoreError("the batch is not stored")

    def alerting(self, message: func.QueueMessage) -> None:
        """Process the changes that a message of the queue ``changes`` names; raises CloudError to repeat it."""
        self._relay.on_message(message.get_body().decode())

    def watch(self, timer: func.TimerRequest) -> None:
        """Process changes of which no message arrived, and do what becomes due without a message."""
        self._functions.follow_and_watch(self._relay, left_of(TIMEOUT_MS))

    def compact(self, timer: func.TimerRequest) -> None:
        """Compact the hours that ended, one after the other, as long as time is left."""
        self._functions.compact(left_of(TIMEOUT_MS), TIMEOUT_MS // 2)

    def expire(self, timer: func.TimerRequest) -> None:
        """Remove the expired items of both tables."""
        left_ms = left_of(TIMEOUT_MS)
        for name in TABLES:
            removed = remove_expired(self._storage.table(name), self._now_ms(), left_ms)
            self._log.info("expired", extra={"table": name, "items": removed})

    def _ingest(self, messages: list[Message]) -> list[Message]:
        return self._functions.ingest(messages, left_of(TIMEOUT_MS))


def change_logs(storage: Storage, now_ms: NowMs) -> dict[str, ChangeLog]:
    """Return the logs of the changes that alerting processes, by table."""
    captured, queue = {"telemetry": anomalies, "alerts": alerts}, storage.queue(CHANGES)
    return {
        name: ChangeLog(storage.table(name), wanted, now_ms, Waker(queue, name)) for name, wanted in captured.items()
    }


def create(storage: Storage) -> None:
    """Create the tables, containers and queues of an emulator; in Azure the deployment creates them."""
    for name in TABLES:
        storage.table(name).create_table()
    for name in CONTAINERS:
        storage.container(name).create_container()
    for name in QUEUES:
        storage.queue(name).create_queue()
