"""Deliverers of channels on Azure: webhooks, e-mails of Communication Services, and topics of Event Grid.

No ARN of AWS can be reached from Azure: deliveries to a channel that names one fail, and become dead letters after the
last attempt. The MQTT channel has no way to a gateway, because IoT Hub has no topics of its users.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from cloud_functions.adapters.channels.outside_aws import UnavailableDeliverer, reason_of_arn
from cloud_functions.adapters.channels.registry import Deliverers, Factory, Options, Pair, chunks, each
from cloud_functions.adapters.channels.webhook import SecretReader, WebhookDeliverer
from cloud_functions.core.channels import Channel, ChannelType
from cloud_functions.core.deliveries import Deliverer, Delivery, DeliveryError
from cloud_functions.core.errors import StoreError
from cloud_functions.core.messages.text import body, html_body, subject
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.ports import NowMs

CLOUD = "Azure"
MAX_BATCH = 100
MAX_BATCH_BYTES = 900_000
"""Longest request; Event Grid accepts 1 MB."""
CACHE_MS = 300_000
EVENTS_VERSION, EMAIL_VERSION, SECRETS_VERSION = "2018-01-01", "2023-03-31", "7.4"
EVENTS_SCOPE = "https://eventgrid.azure.net/.default"
EMAIL_SCOPE = "https://communication.azure.com/.default"
SECRETS_SCOPE = "https://vault.azure.net/.default"
SECRET_PREFIX = "channel-"  # noqa: S105 - the beginning of names
"""Beginning of the names of secrets that channels may use: other secrets of the vault are not theirs."""

Send = Callable[[str, str, str, Mapping[str, str], bytes], tuple[int, bytes]]
"""Sends a request with a token, as (scope, method, URL, headers, body); returns status and body, raises OSError."""


@dataclass(frozen=True, slots=True)
class Destinations:
    """URLs of services; an empty one is not available.

    ``alerts`` is the topic of channels of the type sns, ``events`` that of the type eventbridge, ``email`` the resource
    of Communication Services, ``vault`` the vault with the secrets of channels.
    """

    alerts: str
    events: str
    vault: str
    email: str = ""


class EventGridDeliverer:
    """Sends events to a topic with the schema of CloudEvents; the attribute ``channel`` is added to each."""

    def __init__(self, url: str, send: Send) -> None:
        self._url, self._send = f"{url}?api-version={EVENTS_VERSION}", send

    def deliver(self, deliveries: list[Pair]) -> list[str]:
        """Send events, several in a request."""
        reasons = [reason_of_arn(channel, CLOUD) for _, channel in deliveries]
        accepted = [at for at, reason in enumerate(reasons) if not reason]
        for _, part in chunks(accepted, MAX_BATCH):
            for group in _groups([(at, _event(deliveries[at][0])) for at in part]):
                try:
                    self._put([event for _, event in group])
                except DeliveryError as error:
                    for at, _ in group:
                        reasons[at] = str(error)
        return reasons

    def _put(self, events: list[str]) -> None:
        headers = {"Content-Type": "application/cloudevents-batch+json; charset=utf-8"}
        content = f"[{','.join(events)}]".encode()
        _checked("Event Grid", self._send, EVENTS_SCOPE, self._url, headers, content)


class EmailDeliverer:
    """Sends e-mails by Communication Services from a verified ``sender``; a repetition has the same operation id."""

    def __init__(self, url: str, sender: str, link: str, send: Send) -> None:
        self._url, self._sender, self._link, self._send = url, sender, link, send

    def deliver(self, deliveries: list[Pair]) -> list[str]:
        """Send e-mails one by one."""
        return each(deliveries, self._deliver)

    def _deliver(self, delivery: Delivery, channel: Channel) -> None:
        if not self._url or not self._sender:
            raise DeliveryError(f"channel {channel.name}: EMAIL_URL and EMAIL_FROM are not set")
        event = delivery.event
        message = {
            "senderAddress": self._sender,
            "recipients": {"to": [{"address": address} for address in channel.settings["to"]]},
            "content": {
                "subject": subject(event),
                "plainText": body(event, self._link),
                "html": html_body(event, self._link),
            },
        }
        headers = {"Content-Type": "application/json", "Operation-Id": _operation_id(delivery.key)}
        url = f"{self._url.rstrip('/')}/emails:send?api-version={EMAIL_VERSION}"
        content = json.dumps(message).encode()
        _checked(f"e-mail of channel {channel.name}", self._send, EMAIL_SCOPE, url, headers, content)


class IgnoringDeliverer:
    """Counts deliveries of a channel that exists by default and has no destination on Azure."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def deliver(self, deliveries: list[Pair]) -> list[str]:
        """Count the events as ``deliveries_without_destination``."""
        self._metrics.count("deliveries_without_destination", len(deliveries))
        return [""] * len(deliveries)


class KeyVaultSecrets:
    """Reader of secrets ``secretsmanager:NAME``, which are ``channel-NAME`` in the vault; cached for five minutes."""

    def __init__(self, vault: str, send: Send, now_ms: NowMs) -> None:
        self._vault, self._send, self._now_ms = vault.rstrip("/"), send, now_ms
        self._cached: dict[str, tuple[int, str]] = {}

    def get(self, name: str) -> str:
        """Return the text of a secret; raises StoreError if it cannot be read."""
        kind, _, key = name.partition(":")
        if kind != "secretsmanager" or not key.replace("-", "").isalnum():
            raise StoreError(f"secret {name!r}: secretsmanager:NAME of letters, digits and hyphens is allowed")
        known = self._cached.get(key)
        if known is None or not 0 <= self._now_ms() - known[0] < CACHE_MS:
            known = self._cached[key] = (self._now_ms(), self._read(key))
        return known[1]

    def _read(self, key: str) -> str:
        url = f"{self._vault}/secrets/{quote(SECRET_PREFIX + key)}?api-version={SECRETS_VERSION}"
        try:
            status, answer = self._send(SECRETS_SCOPE, "GET", url, {}, b"")
            if status == 200:
                return str(json.loads(answer)["value"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"read the secret {key}: {type(error).__name__}: {error}") from error
        raise StoreError(f"read the secret {key}: {status}")


def deliverers(options: Options, destinations: Destinations, send: Send, metrics: Metrics, now_ms: NowMs) -> Deliverers:
    """Return the deliverers of all types of channels."""

    def made(found: Deliverer) -> Factory:
        return lambda _: found

    secrets: SecretReader = KeyVaultSecrets(destinations.vault, send, now_ms)
    factories: Mapping[ChannelType, Factory] = {
        ChannelType.MQTT: made(IgnoringDeliverer(metrics)),
        ChannelType.WEBHOOK: made(WebhookDeliverer(secrets, options.link, loopback=options.loopback)),
        ChannelType.EMAIL: made(EmailDeliverer(destinations.email, options.sender, options.link, send)),
        ChannelType.SNS: made(EventGridDeliverer(destinations.alerts, send)),
        ChannelType.EVENTBRIDGE: made(EventGridDeliverer(destinations.events, send)),
        ChannelType.STEPFUNCTIONS: made(UnavailableDeliverer(CLOUD)),
    }
    return Deliverers(options, factories)


def _checked(what: str, send: Send, scope: str, url: str, headers: Mapping[str, str], content: bytes) -> None:
    try:
        status, answer = send(scope, "POST", url, headers, content)
    except OSError as error:
        raise DeliveryError(f"{what}: {urlsplit(url).hostname}: {type(error).__name__}: {error}") from error
    if status // 100 != 2:
        raise DeliveryError(f"{what}: {status} {answer[:200].decode(errors='replace')}")


def _event(delivery: Delivery) -> str:
    return json.dumps(dict(delivery.event) | {"channel": delivery.channel}, separators=(",", ":"))


def _groups(events: list[tuple[int, str]]) -> list[list[tuple[int, str]]]:
    """Return events in groups that fit a request."""
    groups: list[list[tuple[int, str]]] = []
    size = MAX_BATCH_BYTES
    for at, event in events:
        length = len(event.encode()) + 1
        if size + length > MAX_BATCH_BYTES:
            groups.append([])
            size = 0
        groups[-1].append((at, event))
        size += length
    return groups


def _operation_id(key: str) -> str:
    """Return a UUID that is the same for a repetition."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))
