"""The functions with the adapters of Google Cloud."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloud_functions.adapters.change_relay import alerts, anomalies
from cloud_functions.adapters.functions import Options, Stores
from cloud_functions.adapters.google.bigtable import Bigtable
from cloud_functions.adapters.google.bigtable_changes import ChangeLog
from cloud_functions.adapters.google.gcs_archive import CloudStorageArchive
from cloud_functions.adapters.google.handlers import Handlers
from cloud_functions.adapters.google.mqtt import Broker, MqttAcknowledger
from cloud_functions.adapters.google.pubsub import Publisher, PubSubDeadLetterSink, PubSubOutbox, Waker
from cloud_functions.adapters.google.push import PushVerifier
from cloud_functions.core.ports import NowMs


@dataclass(frozen=True, slots=True)
class Topics:
    """Names of topics of Pub/Sub; ``channels`` by type of channel."""

    changes: str
    dead_letters: str
    channels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Services:
    """Clients of the services: tables of Bigtable, a bucket of Cloud Storage, Pub/Sub and the broker."""

    telemetry: Any
    alerts: Any
    archive: Any
    publisher: Publisher
    broker: Broker


def handlers(
    services: Services, topics: Topics, verifier: PushVerifier, options: Options, now_ms: NowMs, log: logging.Logger
) -> Handlers:
    """Return the handlers of all functions."""
    publisher = services.publisher
    captured = {"telemetry": (services.telemetry, anomalies), "alerts": (services.alerts, alerts)}
    logs = {
        name: ChangeLog(table, wanted, now_ms, Waker(topics.changes, name, publisher))
        for name, (table, wanted) in captured.items()
    }
    stores = Stores(
        telemetry=Bigtable(services.telemetry, logs["telemetry"]),
        alerts=Bigtable(services.alerts, logs["alerts"]),
        archive=CloudStorageArchive(services.archive),
        acknowledger=MqttAcknowledger(services.broker),
        dead_letters=PubSubDeadLetterSink(topics.dead_letters, publisher),
        outbox=PubSubOutbox(topics.channels, publisher),
    )
    return Handlers(stores, logs, verifier, options, now_ms, log)
