"""Wiring of the functions on Google Cloud (functions-framework): requests and settings, nothing else."""

from __future__ import annotations

import base64
import functools
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
from cloud_functions.adapters.channels import registry
from cloud_functions.adapters.functions import Options
from cloud_functions.adapters.google import application
from cloud_functions.adapters.google.api import ApiHandler
from cloud_functions.adapters.google.application import Services, Topics
from cloud_functions.adapters.google.channels import Destinations
from cloud_functions.adapters.google.handlers import Handlers
from cloud_functions.adapters.google.mqtt import BrokerSettings, MqttBroker
from cloud_functions.adapters.google.pubsub import Publisher
from cloud_functions.adapters.google.tokens import (
    CERTIFICATES_URL,
    PEOPLE_CERTIFICATES_URL,
    Certificates,
    PushVerifier,
    TokenVerifier,
)
from cloud_functions.clock import now_ms
from cloud_functions.core.channels import ChannelType
from cloud_functions.core.gateways import SILENT_AFTER_MS
from cloud_functions.rest.roles import RoleRules

_TIMEOUT_S = 5.0
_API, _SECRETS = "https://pubsub.googleapis.com", "https://secretmanager.googleapis.com"
log = logging.getLogger("strandline")


def _certificates(url: str) -> Certificates:
    answer = requests.get(url, timeout=_TIMEOUT_S)
    answer.raise_for_status()
    found: Certificates = answer.json()
    return found


def _secret(name: str) -> str:
    """Return the newest version of a secret of the project."""
    path = f"/v1/projects/{settings.text('PROJECT')}/secrets/{name}/versions/latest:access"
    with _session("https://www.googleapis.com/auth/cloud-platform") as session:
        answer = session.get(_SECRETS + path, timeout=_TIMEOUT_S)
    answer.raise_for_status()
    return base64.b64decode(answer.json()["payload"]["data"]).decode()


def _session(scope: str) -> AuthorizedSession:
    credentials, _ = google.auth.default(scopes=[scope])
    return AuthorizedSession(credentials)


def _post(path: str, content: Mapping[str, Any]) -> tuple[int, str]:
    with _session("https://www.googleapis.com/auth/pubsub") as session:
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


def _services() -> Services:
    project = settings.text("PROJECT")
    bigtable, instance = BigtableDataClient(project=project), settings.text("BIGTABLE_INSTANCE")
    return Services(
        telemetry=bigtable.get_table(instance, settings.text("TELEMETRY_TABLE")),
        alerts=bigtable.get_table(instance, settings.text("ALERTS_TABLE")),
        archive=storage.Client(project).bucket(settings.text("ARCHIVE_BUCKET")),
        publisher=Publisher(project, _post),
        broker=_broker(),
        secret=_secret,
    )


def _topics() -> Topics:
    prefix = settings.text("CHANNEL_TOPICS")
    return Topics(
        settings.text("CHANGES_TOPIC"),
        settings.text("DEAD_LETTERS_TOPIC"),
        {str(kind): f"{prefix}{kind}" for kind in ChannelType},
        Destinations(settings.text("ALERTS_TOPIC"), settings.text("EVENTS_TOPIC")),
    )


def _options() -> Options:
    return Options(
        raw_days=settings.number("RAW_DAYS", 7),
        retention_days=settings.number("RETENTION_DAYS", 90),
        alert_retention_days=settings.number("ALERT_RETENTION_DAYS", 400),
        alert_hold_ms=settings.number("ALERT_HOLD_MS", 0),
        silent_after_ms=settings.number("SILENT_AFTER_MS", SILENT_AFTER_MS),
        archive_shards=settings.number("ARCHIVE_SHARDS", 1),
    )


@functools.cache
def handlers() -> Handlers:
    """Return the handlers of the functions that messages and the scheduler start."""
    verifier = PushVerifier(
        lambda: _certificates(CERTIFICATES_URL),
        settings.text("PUSH_AUDIENCE"),
        settings.text("PUSH_SERVICE_ACCOUNT"),
        now_ms,
    )
    channels = registry.Options(link=settings.optional("DASHBOARD_URL"))
    return application.handlers(_services(), _topics(), verifier, _options(), now_ms, log, channels)


@functools.cache
def api_handler() -> ApiHandler:
    """Return the handler of the API; the tokens are those of an issuer of people's accounts."""
    url = settings.text("API_CERTIFICATES_URL", PEOPLE_CERTIFICATES_URL)
    issuer, audience = settings.text("API_ISSUER"), settings.text("API_AUDIENCE")
    tokens = TokenVerifier(lambda: _certificates(url), audience, (issuer,), now_ms)
    rules = RoleRules.read(settings.text("ROLE_CLAIM", "role"), "")
    return application.api(_services(), _topics(), tokens, rules, _options(), now_ms, log)


@functions_framework.http
def ingest(request: Any) -> tuple[str, int]:
    """Store and acknowledge the batch of a push request."""
    return handlers().ingest(request.headers, request.get_data())


@functions_framework.http
def alerting(request: Any) -> tuple[str, int]:
    """Process the changes of reports and alerts that a push request names."""
    return handlers().alerting(request.headers, request.get_data())


@functions_framework.http
def watch(request: Any) -> tuple[str, int]:
    """Do each minute what becomes due without a message; the scheduler sends this request."""
    return handlers().watch(request.headers)


@functions_framework.http
def compact(request: Any) -> tuple[str, int]:
    """Compact the hours that ended; the scheduler sends this request each hour."""
    return handlers().compact(request.headers)


@functions_framework.http
def notify(request: Any) -> tuple[str, int]:
    """Deliver the message of a push request to its channel."""
    return handlers().notify(request.headers, request.get_data())


@functions_framework.http
def api(request: Any) -> tuple[bytes, int, dict[str, str]]:
    """Answer a request of API v1."""
    query = request.query_string.decode("latin-1")
    answer = api_handler().respond(request.method, request.path, query, dict(request.headers), request.get_data())
    return answer.body, answer.status, dict(answer.headers)
