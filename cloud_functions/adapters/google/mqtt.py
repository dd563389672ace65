"""Acknowledgements through the MQTT broker to which the gateways are connected.

The connection is driven by the call that sends: between two requests an instance of Cloud Run has no processor time, so
nothing may depend on a thread. The broker may close an idle connection; the next call makes another.
"""

from __future__ import annotations

import contextlib
import ssl
import time
from dataclasses import dataclass
from typing import Any, Protocol

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from cloud_functions.core.errors import StoreError
from wire import topics

_ANSWER_S = 5.0
_SLICE_S = 0.2


class Broker(Protocol):
    """Port of the broker."""

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 1 and wait for the broker's confirmation; raises OSError."""

    def close(self) -> None:
        """Close the connection; the next publication makes another."""


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Address and identity; ``context`` is None for a connection without TLS."""

    host: str
    port: int
    client_id: str
    context: ssl.SSLContext | None = None
    username: str = ""
    password: str = ""


class MqttBroker:
    """A broker of MQTT 5; not for several threads."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        self._client: paho.Client | None = None
        self._confirmed: dict[int, str] = {}
        self._refusal: str | None = None
        self._accepted = False

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 1 and wait for the broker's confirmation; raises OSError."""
        client = self._client = self._client or self._connect()
        result = client.publish(topic, payload, qos=1)
        self._until(client, lambda: result.mid in self._confirmed, "confirm a publication")
        if problem := self._confirmed.pop(result.mid):
            raise ConnectionError(f"the broker rejects the publication: {problem}")

    def close(self) -> None:
        """Disconnect; the next publication connects again."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(OSError):
                client.disconnect()
                client.loop(_SLICE_S)

    def _connect(self) -> paho.Client:
        settings = self._settings
        self._accepted, self._refusal = False, None
        self._confirmed.clear()
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            protocol=paho.MQTTv5,
            reconnect_on_failure=False,
        )
        if settings.context is not None:
            client.tls_set_context(settings.context)
        if settings.username:
            client.username_pw_set(settings.username, settings.password)
        client.on_connect, client.on_publish = self._on_connect, self._on_publish
        client.connect_timeout = _ANSWER_S
        client.connect(settings.host, settings.port, keepalive=0, clean_start=True)
        self._until(client, lambda: self._accepted, "answer")
        return client

    def _until(self, client: paho.Client, done: Any, what: str) -> None:
        deadline = time.monotonic() + _ANSWER_S
        while not done():
            if self._refusal:
                raise ConnectionError(f"the broker refuses the connection: {self._refusal}")
            if client.loop(_SLICE_S) != MQTTErrorCode.MQTT_ERR_SUCCESS and not done():
                raise ConnectionError(f"the connection was closed: {self._refusal or 'without a reason'}")
            if time.monotonic() >= deadline:
                raise TimeoutError(f"the broker did not {what} within {_ANSWER_S:g} s")

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._accepted, self._refusal = not reason.is_failure, str(reason) if reason.is_failure else None

    def _on_publish(self, _client: Any, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        self._confirmed[mid] = str(reason) if reason.is_failure else ""


class MqttAcknowledger:
    """Sends acknowledgements; after a failure it connects once more."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def send(self, gateway: str, payload: bytes) -> None:
        """Publish an acknowledgement; raises StoreError when the broker did not confirm it."""
        for last in (False, True):
            try:
                self._broker.publish(topics.ack(gateway), payload)
            except OSError as error:
                self._broker.close()
                if last:
                    raise StoreError(f"acknowledge to {gateway}: {type(error).__name__}: {error}") from error
            else:
                return
