"""Handlers of the Azure Functions. ``cloud_functions/azure/function_app.py`` binds them to their triggers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import azure.functions as func

from cloud_functions.adapters.azure.blob_archive import BlobArchive
from cloud_functions.adapters.azure.events import envelopes_of
from cloud_functions.adapters.azure.expiry import remove_expired
from cloud_functions.adapters.azure.iot_hub import By, IotHub, IotHubAcknowledger
from cloud_functions.adapters.azure.queues import BlobDeadLetterSink, QueueOutbox, read_delivery
from cloud_functions.adapters.azure.relay import Relay, Waker
from cloud_functions.adapters.azure.storage import Storage
from cloud_functions.adapters.azure.table import AzureTable
from cloud_functions.adapters.azure.table_changes import ChangeLog, alerts, anomalies
from cloud_functions.clock import DAY_MS
from cloud_functions.core.alerting import AlertBook
from cloud_functions.core.changes import ChangeProcessor
from cloud_functions.core.channels import ChannelType
from cloud_functions.core.configuration import Configuration
from cloud_functions.core.dispatch import Dispatcher
from cloud_functions.core.errors import CloudError, StoreError
from cloud_functions.core.gateway_watch import GatewayWatch
from cloud_functions.core.grouping import Groups
from cloud_functions.core.ingest import Ingest
from cloud_functions.core.ingest_run import Message, run
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.ports import NowMs
from cloud_functions.core.profiles import Profiles
from cloud_functions.core.storing import Storer
from cloud_functions.core.watch import Watch

TABLES = ("telemetry", "alerts")
CONTAINERS = ("archive", "dead-letters", "large")
RETRY, CHANGES = "retry", "changes"
QUEUES = (RETRY, CHANGES, *(f"channel-{kind}" for kind in ChannelType))
TIMEOUT_MS = 300_000
"""Longest run of a function (host.json)."""
_RETRY_SOURCE = "retry"


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of the functions."""

    raw_days: int = 7
    retention_days: int = 90
    alert_retention_days: int = 400
    alert_hold_ms: int = 0
    silent_after_ms: int = 15 * 60_000
    archive_shards: int = 1
    acknowledge_by: By = By.MESSAGE


class Handlers:
    """The functions of an app over a storage account and a hub."""

    def __init__(self, storage: Storage, hub: IotHub, options: Options, now_ms: NowMs, log: logging.Logger) -> None:
        self._storage, self._options, self._now_ms, self._log = storage, options, now_ms, log
        self.metrics = Metrics()
        changes = storage.queue(CHANGES)
        telemetry, alerts_client = storage.table("telemetry"), storage.table("alerts")
        logs = {
            "telemetry": ChangeLog(telemetry, anomalies, now_ms, Waker(changes, "telemetry")),
            "alerts": ChangeLog(alerts_client, alerts, now_ms, Waker(changes, "alerts")),
        }
        self._telemetry = AzureTable(telemetry, logs["telemetry"])
        self._alerts = AzureTable(alerts_client, logs["alerts"])
        self._large = storage.container("large")
        self._dead_letters = BlobDeadLetterSink(storage.container("dead-letters"))
        self._retry = QueueOutbox({RETRY: storage.queue(RETRY)}, self._large)
        self._acknowledger = IotHubAcknowledger(hub.request, options.acknowledge_by)
        self._storer = Storer(self._telemetry, now_ms, options.raw_days * DAY_MS, options.retention_days * DAY_MS)
        self._configuration = Configuration(self._alerts, now_ms, self.metrics)
        outbox = QueueOutbox({str(kind): storage.queue(f"channel-{kind}") for kind in ChannelType}, self._large)
        self._groups = Groups(self._alerts, outbox, now_ms)
        configuration = self._configuration
        self._dispatcher = Dispatcher(configuration.routes, configuration.channels, outbox, self._groups)
        self._book = AlertBook(
            self._alerts,
            now_ms,
            options.alert_retention_days * DAY_MS,
            options.alert_hold_ms,
            configuration.silences,
        )
        processor = ChangeProcessor(self._book, self._dispatcher, now_ms, log, self.metrics)
        self._relay = Relay(logs, processor.process)

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
        left_ms = self._left()
        try:
            self._relay.follow()
        except StoreError as error:
            self._log.warning("changes are left: %s", error)
            self.metrics.count("failed_records")
        finished = self._watch().run(left_ms)
        self.metrics.count("finished_shards", finished)

    def compact(self, timer: func.TimerRequest) -> None:
        """Compact the hours that ended, one after the other, as long as time is left."""
        from cloud_functions.core.compaction import Compactor
        from cloud_functions.core.compaction_plan import Planner

        left_ms = self._left()
        profiles = Profiles(self._telemetry, self._now_ms, self._options.raw_days * DAY_MS)
        compactor = Compactor(
            self._telemetry,
            BlobArchive(self._storage.container("archive")),
            profiles.find,
            self._dead_letters,
            self._now_ms,
            self._options.retention_days * DAY_MS,
            lambda: "compact",
            left_ms,
        )
        for task in Planner(self._telemetry, self._now_ms, self._options.archive_shards).plan():
            if left_ms() < TIMEOUT_MS // 2:
                break
            try:
                outcome = compactor.run(task)
                self.metrics.count(f"tasks_{outcome}")
            except CloudError:
                self._log.exception("task failed", extra={"task": task.encode()})
                self.metrics.count("tasks_failed")

    def expire(self, timer: func.TimerRequest) -> None:
        """Remove the expired items of both tables."""
        left_ms = self._left()
        for name in TABLES:
            removed = remove_expired(self._storage.table(name), self._now_ms(), left_ms)
            self._log.info("expired", extra={"table": name, "items": removed})

    def _ingest(self, messages: list[Message]) -> list[Message]:
        ingest = Ingest(
            self._telemetry,
            self._storer,
            self._acknowledger,
            self._dead_letters,
            self._now_ms,
            self._log,
            metrics=self.metrics,
        )
        return run(ingest, messages, self._left(), self._log, self.metrics)

    def _watch(self) -> Watch:
        configuration = self._configuration
        gateways = GatewayWatch(
            self._telemetry,
            self._alerts,
            self._book,
            configuration.rules,
            Profiles(self._telemetry, self._now_ms).find,
            self._now_ms,
            self._options.silent_after_ms,
            self.metrics,
        )
        return Watch(
            self._telemetry,
            self._alerts,
            self._book,
            self._dispatcher,
            self._groups,
            gateways,
            configuration.silences,
            configuration.routes,
            self._now_ms,
            self.metrics,
        )

    @staticmethod
    def _left() -> Callable[[], int]:
        """Return a function that returns the time that is left to this invocation, in milliseconds."""
        end = time.monotonic() + TIMEOUT_MS / 1000
        return lambda: round((end - time.monotonic()) * 1000)


def create(storage: Storage) -> None:
    """Create the tables, containers and queues of an emulator; in Azure the deployment creates them."""
    for name in TABLES:
        storage.table(name).create_table()
    for name in CONTAINERS:
        storage.container(name).create_container()
    for name in QUEUES:
        storage.queue(name).create_queue()
