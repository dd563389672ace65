"""Work of the functions over the ports, where all functions of a cloud are one application."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cloud_functions.adapters.change_relay import Relay
from cloud_functions.clock import DAY_MS
from cloud_functions.core.alerting import AlertBook
from cloud_functions.core.changes import Change, ChangeProcessor
from cloud_functions.core.configuration import Configuration
from cloud_functions.core.dispatch import Dispatcher
from cloud_functions.core.errors import CloudError, StoreError
from cloud_functions.core.gateway_watch import GatewayWatch
from cloud_functions.core.gateways import SILENT_AFTER_MS
from cloud_functions.core.grouping import Groups
from cloud_functions.core.ingest import Ingest
from cloud_functions.core.ingest_run import Message, run
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.ports import Acknowledger, Archive, DeadLetterSink, ErasableTable, NowMs, Outbox, Table
from cloud_functions.core.profiles import Profiles
from cloud_functions.core.storing import Storer
from cloud_functions.core.watch import Watch

LeftMs = Callable[[], int]
"""Returns the time that is left to an invocation, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of the functions of every cloud."""

    raw_days: int = 7
    retention_days: int = 90
    alert_retention_days: int = 400
    alert_hold_ms: int = 0
    silent_after_ms: int = SILENT_AFTER_MS
    archive_shards: int = 1


@dataclass(frozen=True, slots=True)
class Stores:
    """The adapters that the functions use."""

    telemetry: Table
    alerts: ErasableTable
    archive: Archive
    acknowledger: Acknowledger
    dead_letters: DeadLetterSink
    outbox: Outbox


class Functions:
    """The functions; not for several threads. ``check_client``: a message names the client that published it."""

    def __init__(
        self, stores: Stores, options: Options, now_ms: NowMs, log: logging.Logger, *, check_client: bool = True
    ) -> None:
        self._stores, self._options, self._now_ms, self._log = stores, options, now_ms, log
        self._check_client = check_client
        self.metrics = Metrics()
        self._raw_ms, self._retention_ms = options.raw_days * DAY_MS, options.retention_days * DAY_MS
        self._storer = Storer(stores.telemetry, now_ms, self._raw_ms, self._retention_ms)
        self.configuration = Configuration(stores.alerts, now_ms, self.metrics)
        self._groups = Groups(stores.alerts, stores.outbox, now_ms)
        self._dispatcher = Dispatcher(
            self.configuration.routes, self.configuration.channels, stores.outbox, self._groups
        )
        self._book = AlertBook(
            stores.alerts,
            now_ms,
            options.alert_retention_days * DAY_MS,
            options.alert_hold_ms,
            self.configuration.silences,
        )
        self._processor = ChangeProcessor(self._book, self._dispatcher, now_ms, log, self.metrics)

    def ingest(self, messages: Sequence[Message], left_ms: LeftMs) -> list[Message]:
        """Store and acknowledge the batches of messages; return those that must be delivered again."""
        stores = self._stores
        ingest = Ingest(
            stores.telemetry,
            self._storer,
            stores.acknowledger,
            stores.dead_letters,
            self._now_ms,
            self._log,
            check_client=self._check_client,
            metrics=self.metrics,
        )
        return run(ingest, messages, left_ms, self._log, self.metrics)

    def process(self, changes: Sequence[Change]) -> dict[int, str]:
        """Process changes of both tables; return the failed ones by position, with the error."""
        return self._processor.process(changes)

    def follow_and_watch(self, relay: Relay, left_ms: LeftMs) -> None:
        """Process changes of which no message arrived, and do what becomes due without a message."""
        try:
            relay.follow()
        except StoreError as error:
            self._log.warning("changes are left: %s", error)
            self.metrics.count("failed_records")
        self.watch(left_ms)

    def watch(self, left_ms: LeftMs) -> None:
        """Do what becomes due without a message."""
        stores, configuration = self._stores, self.configuration
        gateways = GatewayWatch(
            stores.telemetry,
            stores.alerts,
            self._book,
            configuration.rules,
            Profiles(stores.telemetry, self._now_ms).find,
            self._now_ms,
            self._options.silent_after_ms,
            self.metrics,
        )
        watch = Watch(
            stores.telemetry,
            stores.alerts,
            self._book,
            self._dispatcher,
            self._groups,
            gateways,
            configuration.silences,
            configuration.routes,
            self._now_ms,
            self.metrics,
        )
        self.metrics.count("finished_shards", watch.run(left_ms))

    def compact(self, left_ms: LeftMs, least_ms: int) -> int:
        """Compact the hours that ended, one after the other; return the number of tasks that failed.

        No task is started with less than ``least_ms`` left.
        """
        from cloud_functions.core.compaction import Compactor
        from cloud_functions.core.compaction_plan import Planner

        stores, failed = self._stores, 0
        compactor = Compactor(
            stores.telemetry,
            stores.archive,
            Profiles(stores.telemetry, self._now_ms, self._raw_ms).find,
            stores.dead_letters,
            self._now_ms,
            self._retention_ms,
            lambda: "compact",
            left_ms,
        )
        for task in Planner(stores.telemetry, self._now_ms, self._options.archive_shards).plan():
            if left_ms() < least_ms:
                break
            try:
                self.metrics.count(f"tasks_{compactor.run(task)}")
            except CloudError:
                self._log.exception("task failed", extra={"task": task.encode()})
                self.metrics.count("tasks_failed")
                failed += 1
        return failed


def left_of(timeout_ms: int) -> LeftMs:
    """Return a function that returns the time that is left of an invocation which begins now, in milliseconds."""
    end = time.monotonic() + timeout_ms / 1000
    return lambda: round((end - time.monotonic()) * 1000)
