"""The functions with the adapters of Google Cloud."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloud_functions.adapters.change_relay import alerts, anomalies
from cloud_functions.adapters.channels import registry
from cloud_functions.adapters.functions import Options, Stores
from cloud_functions.adapters.google.api import ApiHandler
from cloud_functions.adapters.google.bigtable import Bigtable
from cloud_functions.adapters.google.bigtable_changes import ChangeLog
from cloud_functions.adapters.google.channels import Access, Destinations, Secrets, deliverers
from cloud_functions.adapters.google.gcs_archive import CloudStorageArchive
from cloud_functions.adapters.google.handlers import Handlers
from cloud_functions.adapters.google.mqtt import Broker, MqttAcknowledger
from cloud_functions.adapters.google.pubsub import Publisher, PubSubDeadLetterSink, PubSubOutbox, Waker
from cloud_functions.adapters.google.tokens import PushVerifier, TokenVerifier
from cloud_functions.adapters.rest import Rest
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.ports import NowMs
from cloud_functions.rest.roles import RoleRules


@dataclass(frozen=True, slots=True)
class Topics:
    """Names of topics of Pub/Sub; ``channels`` by type of channel."""

    changes: str
    dead_letters: str
    channels: Mapping[str, str]
    destinations: Destinations


@dataclass(frozen=True, slots=True)
class Services:
    """Clients of the services: tables of Bigtable, a bucket of Cloud Storage, Pub/Sub, broker and Secret Manager."""

    telemetry: Any
    alerts: Any
    archive: Any
    publisher: Publisher
    broker: Broker
    secret: Access


def handlers(
    services: Services,
    topics: Topics,
    verifier: PushVerifier,
    options: Options,
    now_ms: NowMs,
    log: logging.Logger,
    channel_options: registry.Options | None = None,
) -> Handlers:
    """Return the handlers of all functions but the API."""
    publisher, logs = services.publisher, _logs(services, topics, now_ms)
    stores = Stores(
        telemetry=Bigtable(services.telemetry, logs["telemetry"]),
        alerts=Bigtable(services.alerts, logs["alerts"]),
        archive=CloudStorageArchive(services.archive),
        acknowledger=MqttAcknowledger(services.broker),
        dead_letters=PubSubDeadLetterSink(topics.dead_letters, publisher),
        outbox=PubSubOutbox(topics.channels, publisher),
    )
    channels = deliverers(
        channel_options or registry.Options(),
        services.broker,
        publisher,
        topics.destinations,
        Secrets(services.secret, now_ms),
    )
    return Handlers(stores, logs, channels, verifier, options, now_ms, log)


def api(
    services: Services,
    topics: Topics,
    tokens: TokenVerifier,
    rules: RoleRules,
    options: Options,
    now_ms: NowMs,
    log: logging.Logger,
) -> ApiHandler:
    """Return the handler of the API, which has all routes with the forecast."""
    from cloud_functions.core.archive_reader import FileArchiveReader

    logs = _logs(services, topics, now_ms)
    telemetry = Bigtable(services.telemetry, logs["telemetry"])
    metrics = Metrics()
    rest = Rest(
        telemetry,
        Bigtable(services.alerts, logs["alerts"]),
        FileArchiveReader(telemetry, CloudStorageArchive(services.archive)),
        options,
        rules,
        now_ms,
        metrics,
        log,
    )
    return ApiHandler(rest, tokens, metrics, log)


def _logs(services: Services, topics: Topics, now_ms: NowMs) -> dict[str, ChangeLog]:
    captured = {"telemetry": (services.telemetry, anomalies), "alerts": (services.alerts, alerts)}
    return {
        name: ChangeLog(table, wanted, now_ms, Waker(topics.changes, name, services.publisher))
        for name, (table, wanted) in captured.items()
    }
