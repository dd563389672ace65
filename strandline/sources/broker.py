"""Connection to a broker for ``strandline source learn``, with the settings of an MQTT entry."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, Literal

from edge_components.common.config import load
from edge_components.common.errors import ConfigError
from edge_components.sensor_reader.errors import SensorReaderError
from edge_components.sensor_reader.mqtt.settings import MqttSettings
from strandline.errors import CommandError, reason
from strandline.sources.learn import MAX_TOPICS

PASSWORD_VARIABLE = "STRANDLINE_BROKER_PASSWORD"  # noqa: S105 # the name of a variable
"""Environment variable with the password of the user."""

_ANSWER_S = 10.0


def connection_keys(host: str, port: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of an entry for a broker, those of ``given`` that have a value; raises CommandError."""
    keys = {"host": host, "port": port, **{key: value for key, value in given.items() if value}}
    try:
        load(MqttSettings, keys)
    except ConfigError as error:
        raise CommandError("; ".join(error.problems)) from error
    return keys


def read_password(prompt: Callable[[str], str]) -> str | None:
    """Return the password from the environment, or else from a prompt on a terminal, None without both."""
    if PASSWORD_VARIABLE in os.environ:
        return os.environ[PASSWORD_VARIABLE]
    if not sys.stdin.isatty():
        return None
    return prompt(f"Password (or set {PASSWORD_VARIABLE})") or None


class _Listener:
    """A client that keeps one payload of each topic."""

    def __init__(self, settings: MqttSettings, password: str | None, topics: str) -> None:
        import paho.mqtt.client as paho
        from paho.mqtt.enums import CallbackAPIVersion

        self.found: dict[str, bytes] = {}
        self.answered, self.refused, self.refusal = threading.Event(), threading.Event(), ""
        self._topics = topics
        transport: Literal["tcp", "websockets"] = "websockets" if settings.transport == "websockets" else "tcp"
        self.client = paho.Client(CallbackAPIVersion.VERSION2, transport=transport)
        self.client.on_message, self.client.on_connect = self._keep, self._subscribe
        self.client.ws_set_options(path=settings.path)
        if settings.username:
            self.client.username_pw_set(settings.username, password)
        if (context := settings.credential_files.load().context) is not None:
            self.client.tls_set_context(context)

    def _keep(self, _client: object, _data: object, message: Any) -> None:
        if message.payload and (message.topic in self.found or len(self.found) < MAX_TOPICS):
            self.found[message.topic] = bytes(message.payload)

    def _subscribe(self, client: Any, _data: object, _flags: object, reason: Any, _properties: object) -> None:
        if reason.is_failure:
            self.refusal = str(reason)
            self.refused.set()
        else:
            client.subscribe(self._topics)
        self.answered.set()


def listen(keys: Mapping[str, Any], password: str | None, topics: str, seconds: float) -> dict[str, bytes]:
    """Return one payload of each topic published within a number of seconds; raises CommandError.

    ``keys`` are those of an MQTT entry: its connection, without topics.
    """
    settings = load(MqttSettings, keys)
    try:
        listener = _Listener(settings, password, topics)
        listener.client.connect(settings.host, settings.port)
    except (OSError, SensorReaderError) as error:
        raise CommandError(
            f"{settings.address}: {reason(error)}; `strandline doctor --broker {settings.address}` checks the broker"
        ) from error
    listener.client.loop_start()
    if listener.answered.wait(_ANSWER_S):
        listener.refused.wait(seconds)
    listener.client.disconnect()
    listener.client.loop_stop()
    if listener.refusal:
        raise CommandError(f"{settings.address}: the broker refuses the connection: {listener.refusal}")
    if not listener.answered.is_set():
        raise CommandError(f"{settings.address}: no answer of a broker within {_ANSWER_S:.0f} s")
    return listener.found
