"""Wiring of the functions on Google Cloud (functions-framework): requests and settings, nothing else."""

from __future__ import annotations

import json
import logging
import ssl
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import functions_framework
import google.auth
import requests
from google.auth.transport.requests import AuthorizedSession
from google.cloud import storage
from google.cloud.bigtable.data import BigtableDataClient

from cloud_functions import settings
from cloud_functions.adapters.google.bigtable import Bigtable
from cloud_functions.adapters.google.gcs_archive import CloudStorageArchive
from cloud_functions.adapters.google.handlers import Handlers, Stores
from cloud_functions.adapters.google.mqtt import BrokerSettings, MqttAcknowledger, MqttBroker
from cloud_functions.adapters.google.pubsub import Publisher, PubSubDeadLetterSink
from cloud_functions.adapters.google.push import CERTIFICATES_URL, Certificates, PushVerifier
from cloud_functions.clock import now_ms

_TIMEOUT_S = 5.0
_API = "https://pubsub.googleapis.com"


def _certificates() -> Certificates:
    answer = requests.get(CERTIFICATES_URL, timeout=_TIMEOUT_S)
    answer.raise_for_status()
    found: Certificates = answer.json()
    return found


def _post(path: str, content: Mapping[str, Any]) -> tuple[int, str]:
    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/pubsub"])
    with AuthorizedSession(credentials) as session:
        answer = session.post(_API + path, data=json.dumps(content), timeout=_TIMEOUT_S)
        return answer.status_code, answer.text


def _broker() -> MqttBroker:
    """Return the broker; certificates, key and password are files, which are mounted secrets."""
    context, password = None, ""
    if ca_file := settings.optional("MQTT_CA_FILE"):
        context = ssl.create_default_context(cafile=ca_file)
        if certificate := settings.optional("MQTT_CERT_FILE"):
            context.load_cert_chain(certificate, settings.text("MQTT_KEY_FILE"))
    if password_file := settings.optional("MQTT_PASSWORD_FILE"):
        password = Path(password_file).read_text().strip()
    # Each instance has a client id of its own: a broker closes the older connection of the same one.
    name = f"strandline-ingest-{uuid.uuid4().hex[:12]}"
    port = settings.number("MQTT_PORT", 8883 if context else 1883)
    user = settings.optional("MQTT_USERNAME")
    return MqttBroker(BrokerSettings(settings.text("MQTT_HOST"), port, name, context, user, password))


def _handlers() -> Handlers:
    project = settings.text("PROJECT")
    client = BigtableDataClient(project=project)
    table = Bigtable(client.get_table(settings.text("BIGTABLE_INSTANCE"), settings.text("TELEMETRY_TABLE")))
    publisher = Publisher(project, _post)
    dead_letters = PubSubDeadLetterSink(settings.text("DEAD_LETTERS_TOPIC"), publisher)
    verifier = PushVerifier(
        _certificates, settings.text("PUSH_AUDIENCE"), settings.text("PUSH_SERVICE_ACCOUNT"), now_ms
    )
    archive = CloudStorageArchive(storage.Client(project).bucket(settings.text("ARCHIVE_BUCKET")))
    return Handlers(
        Stores(table, archive, MqttAcknowledger(_broker()), dead_letters),
        verifier,
        now_ms,
        logging.getLogger("strandline"),
        settings.number("RAW_DAYS", 7),
        settings.number("RETENTION_DAYS", 90),
    )


handlers = _handlers()


@functions_framework.http
def ingest(request: Any) -> tuple[str, int]:
    """Store and acknowledge the batch of a push request."""
    return handlers.ingest(request.headers, request.get_data())


@functions_framework.http
def compact(request: Any) -> tuple[str, int]:
    """Compact the hours that ended; the scheduler sends this request each hour."""
    return handlers.compact(request.headers)
