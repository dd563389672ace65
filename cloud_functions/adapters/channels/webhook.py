"""Channels of webhooks: a signed HTTPS request in the form of a preset.

A generic request is signed: ``Strandline-Signature: t=<seconds>,v1=<hex>`` with the HMAC-SHA256 of ``<seconds>.<body>``
under the channel's secret. Requests go to public addresses only: the host's addresses are checked after they are
resolved, and the connection uses a checked one, so that a name cannot lead to an internal service. Redirects are
failures.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from cloud_functions.adapters.channels.registry import Pair, each
from cloud_functions.clock import now_ms
from cloud_functions.core.channels import Channel, Preset, check_url, is_public_address
from cloud_functions.core.deliveries import Delivery, DeliveryError
from cloud_functions.core.messages import opsgenie, pagerduty, slack, teams
from cloud_functions.core.ports import NowMs

TIMEOUT_S = 8.0
SIGNATURE, IDEMPOTENCY = "Strandline-Signature", "Idempotency-Key"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
Resolve = Callable[[str, int], list[str]]


class Request(NamedTuple):
    """An HTTP request of a webhook."""

    url: str
    body: bytes
    headers: Mapping[str, str]


def build(delivery: Delivery, channel: Channel, secret: str, at_ms: int, link: str = "") -> Request:
    """Return the request of a delivery in the form of the channel's preset."""
    url, preset, event = str(channel.settings["url"]), Preset(channel.settings["preset"]), delivery.event
    headers = {"Content-Type": "application/json", "User-Agent": "strandline", IDEMPOTENCY: delivery.key}
    payload: Mapping[str, Any]
    if preset is Preset.SLACK:
        payload = slack.payload(event, link)
    elif preset is Preset.TEAMS:
        payload = teams.payload(event, link)
    elif preset is Preset.PAGERDUTY:
        payload = pagerduty.payload(event, secret, link)
    elif preset is Preset.OPSGENIE:
        suffix, payload = opsgenie.request(event, link)
        url += suffix
        headers["Authorization"] = f"GenieKey {secret}"
    else:
        payload = event
        headers["Content-Type"] = "application/cloudevents+json"
    body = json.dumps(dict(payload)).encode()
    if preset is Preset.GENERIC and secret:
        headers[SIGNATURE] = sign(body, secret, at_ms // 1000)
    return Request(url, body, headers)


def sign(body: bytes, secret: str, seconds: int) -> str:
    """Return the signature of a body at a time."""
    digest = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


class SecretReader(Protocol):
    """Reader of secrets by name."""

    def get(self, name: str) -> str:
        """Return the text of a secret; raises StoreError if it cannot be read."""


class WebhookDeliverer:
    """Sends requests; ``loopback`` allows loopback addresses, for the local cloud."""

    def __init__(
        self,
        secrets: SecretReader,
        link: str = "",
        *,
        loopback: bool = False,
        clock: NowMs = now_ms,
        resolve: Resolve | None = None,
    ) -> None:
        self._secrets, self._link, self._loopback, self._clock = secrets, link, loopback, clock
        self._resolve = resolve if resolve is not None else _resolve

    def deliver(self, deliveries: list[Pair]) -> list[str]:
        """Send requests one by one."""
        return each(deliveries, self._send)

    def _send(self, delivery: Delivery, channel: Channel) -> None:
        name = str(channel.settings.get("secret", ""))
        secret = self._secrets.get(name) if name else ""
        request = build(delivery, channel, secret, self._clock(), self._link)
        if problem := check_url(request.url, loopback=self._loopback):
            raise DeliveryError(f"webhook {channel.name}: {problem}")
        try:
            status = self._post(request)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise DeliveryError(f"webhook {channel.name}: {type(error).__name__}: {str(error)[:200]}") from error
        if not 200 <= status < 300:
            raise DeliveryError(f"webhook {channel.name}: status {status}")

    def _post(self, request: Request) -> int:
        url = urlsplit(request.url)
        host = url.hostname or ""
        port = url.port or (443 if url.scheme == "https" else 80)
        address = self._address(host, port)
        connection: http.client.HTTPConnection
        if url.scheme == "https":
            connection = _PinnedConnection(host, port, address)
        else:
            connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT_S)
        try:
            target = (url.path or "/") + (f"?{url.query}" if url.query else "")
            connection.request("POST", target, request.body, dict(request.headers))
            answer = connection.getresponse()
            answer.read(4_096)
            return answer.status
        finally:
            connection.close()

    def _address(self, host: str, port: int) -> str:
        found = self._resolve(host, port)
        if self._loopback and host in _LOOPBACK:
            return found[0]
        if not found or not all(is_public_address(address) for address in found):
            raise DeliveryError(f"{host} does not resolve to public addresses only")
        return found[0]


class _PinnedConnection(http.client.HTTPSConnection):
    """Connection to a checked address, with the certificate of the host's name."""

    def __init__(self, host: str, port: int, address: str) -> None:
        self._tls = ssl.create_default_context()
        super().__init__(host, port, timeout=TIMEOUT_S, context=self._tls)
        self._address = address

    def connect(self) -> None:
        """Connect to the checked address."""
        raw = socket.create_connection((self._address, self.port), self.timeout)
        try:
            self.sock = self._tls.wrap_socket(raw, server_hostname=self.host)
        except BaseException:
            raw.close()
            raise


def _resolve(host: str, port: int) -> list[str]:
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
