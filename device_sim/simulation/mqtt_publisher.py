"""Publisher of readings over real MQTT, with QoS 1 and a count of the acknowledgements."""

from __future__ import annotations

import threading
from typing import Protocol

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from device_sim.errors import BrokerError

QOS = 1
CONNECT_SECONDS = 10.0


class Publisher(Protocol):
    """Destination of readings."""

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish a reading; raises BrokerError on failure."""

    def flush(self, timeout: float) -> int:
        """Wait up to ``timeout`` seconds for acknowledgements and return the number that are still missing."""


class MqttPublisher:
    """Publishes with QoS 1 over one paho client with its own network thread; a context manager."""

    def __init__(self, host: str, port: int, client_id: str = "") -> None:
        self._where = f"{host}:{port}"
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv311)
        self._client.max_inflight_messages_set(64)
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish
        self._answered = threading.Event()
        self._refused = ""
        self._lock = threading.Condition()
        self._sent = self._confirmed = 0
        try:
            self._client.connect(host, port, keepalive=30)
        except OSError as error:
            raise BrokerError(f"no MQTT broker at {self._where}: {error}") from error
        self._client.loop_start()
        if not self._answered.wait(CONNECT_SECONDS) or self._refused:
            self.close()
            raise BrokerError(f"the MQTT broker at {self._where} {self._refused or 'does not answer'}")

    def __enter__(self) -> MqttPublisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes) -> None:
        """See :class:`Publisher`; while the broker is away the client keeps the reading and sends it afterwards."""
        info = self._client.publish(topic, payload, qos=QOS)
        if info.rc not in (mqtt.MQTT_ERR_SUCCESS, mqtt.MQTT_ERR_NO_CONN):
            raise BrokerError(f"publish to {topic} at {self._where}: {mqtt.error_string(info.rc)}")
        with self._lock:
            self._sent += 1

    def flush(self, timeout: float) -> int:
        """See :class:`Publisher`."""
        with self._lock:
            self._lock.wait_for(lambda: self._confirmed >= self._sent, timeout)
            return self._sent - self._confirmed

    def _on_connect(
        self, _client: mqtt.Client, _data: object, _flags: object, code: ReasonCode, _props: object
    ) -> None:
        self._refused = f"refuses the connection: {code}" if code.is_failure else ""
        self._answered.set()

    def _on_publish(self, _client: mqtt.Client, _data: object, _mid: int, _code: ReasonCode, _props: object) -> None:
        with self._lock:
            self._confirmed += 1
            self._lock.notify_all()
