"""The Google adapters, against the emulators of Bigtable and Cloud Storage, mosquitto, and a stand-in of Pub/Sub."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import requests
from google.api_core.exceptions import ResourceExhausted
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from paho.mqtt.enums import CallbackAPIVersion

from cloud_functions.adapters.change_relay import alerts
from cloud_functions.adapters.google.bigtable import Bigtable
from cloud_functions.adapters.google.bigtable_changes import ChangeLog
from cloud_functions.adapters.google.gcs_archive import CloudStorageArchive
from cloud_functions.adapters.google.mqtt import BrokerSettings, MqttAcknowledger, MqttBroker
from cloud_functions.adapters.google.pubsub import Publisher, PubSubDeadLetterSink, PubSubOutbox
from cloud_functions.core.ports import NowMs
from device_sim.google.bigtable import PROJECT, BigtableEmulator
from device_sim.google.errors import EmulatorMissingError
from device_sim.google.pubsub import LocalPubSub
from device_sim.google.storage import CloudStorageEmulator
from device_sim.simulation.sensor_broker import find_mosquitto
from tests.integration.ports.cloud import CHANNEL_TYPES, Adapters, CapturedTable, MissingError
from tests.integration.ports.faults import Fault, Faults, FaultyClient, StoppedError
from tests.integration.test_mqtt_source import mosquitto
from wire import topics

BUCKET, TABLES = "archive", ("telemetry", "alerts")
MARKER = "test/marker"


class _FaultySession(requests.Session):
    """Session of the client of Cloud Storage, below its retries, with faults at its requests."""

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self._faults = faults

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:  # type: ignore[override]
        fault = self._faults.next()
        if fault is Fault.THROTTLED:
            answer = requests.Response()
            answer.status_code, answer.reason, answer._content = 429, "Too Many Requests", b"{}"
            answer.request = requests.Request(method, url).prepare()
            return answer
        answer = super().request(method, url, *args, **options)
        if fault is Fault.STOPPED:
            raise StoppedError
        return answer


class _Gateways:
    """Client of the broker that records the acknowledgements of all gateways."""

    def __init__(self, port: int) -> None:
        self._received: list[tuple[str, bytes]] = []
        self._arrived = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="gateways", protocol=paho.MQTTv5)
        self._client.on_message = self._receive
        self._client.on_subscribe = lambda *_: self._arrived.set()
        self._client.connect("127.0.0.1", port)
        self._client.subscribe([("strandline/v1/+/ack", 1), (MARKER, 1)])
        self._client.loop_start()
        assert self._arrived.wait(30)

    def take(self) -> list[tuple[str, bytes]]:
        """Remove and return what arrived: the broker delivers a marker after the acknowledgements before it."""
        self._arrived.clear()
        self._client.publish(MARKER, b"", qos=1)
        assert self._arrived.wait(30)
        found, self._received = self._received, []
        return found

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _receive(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        if message.topic == MARKER:
            self._arrived.set()
        else:
            self._received.append((topics.gateway_of(message.topic), bytes(message.payload)))


class _LocalGoogle:
    def __init__(self, bigtable: BigtableEmulator, archive: CloudStorageEmulator, port: int) -> None:
        self.faults = Faults()
        self._pubsub = LocalPubSub(PROJECT, (*CHANNEL_TYPES, "dead-letters"))
        self._gateways, self._broker = _Gateways(port), MqttBroker(BrokerSettings("127.0.0.1", port, "ingest"))
        for name in TABLES:
            bigtable.create_table(name)
        self._tables = {name: bigtable.table(name) for name in TABLES}
        self._session = _FaultySession(self.faults)
        self._archive = storage.Client(
            PROJECT,
            credentials=AnonymousCredentials(),
            _http=self._session,
            client_options={"api_endpoint": archive.url},
        )
        archive.create_bucket(BUCKET)

    def connect(self) -> Adapters:
        def table(name: str) -> Bigtable:
            return Bigtable(self._table(name), sleep=lambda _: None)

        publisher = Publisher(PROJECT, self._post)
        broker: Any = FaultyClient(self._broker, self.faults, lambda _: ConnectionError("quota exceeded"))
        return Adapters(
            table("telemetry"),
            table("alerts"),
            CloudStorageArchive(self._archive.bucket(BUCKET), retry=None),
            MqttAcknowledger(_Closing(broker, self._broker)),
            PubSubDeadLetterSink("dead-letters", publisher),
            PubSubOutbox({name: name for name in CHANNEL_TYPES}, publisher),
        )

    def captured(self, now_ms: NowMs) -> CapturedTable:
        woken: list[str] = []
        client = self._table("alerts")
        changes = ChangeLog(client, alerts, now_ms, woken.append)
        return CapturedTable(Bigtable(client, changes, lambda _: None), changes, woken)

    def acknowledged(self) -> list[tuple[str, bytes]]:
        return self._gateways.take()

    def kept(self) -> list[tuple[str, dict[str, str]]]:
        return [(data.decode(), attributes) for data, attributes in self._pubsub.take("dead-letters")]

    def queued(self, channel_type: str) -> list[str]:
        return [data.decode() for data, _ in self._pubsub.take(channel_type)]

    def close(self) -> None:
        self._gateways.close()
        self._broker.close()
        self._archive.close()
        self._session.close()

    def _table(self, name: str) -> FaultyClient:
        return FaultyClient(self._tables[name], self.faults, lambda _: ResourceExhausted("quota"))

    def _post(self, path: str, content: Mapping[str, Any]) -> tuple[int, str]:
        fault = self.faults.next()
        if fault is Fault.THROTTLED:
            return 429, "quota"
        answer = self._pubsub.post(path, content)
        if fault is Fault.STOPPED:
            raise StoppedError
        return answer


class _Closing:
    """Broker whose publications have faults, and whose closing has none, because it sends nothing."""

    def __init__(self, faulty: Any, broker: MqttBroker) -> None:
        self.publish, self.close = faulty.publish, broker.close


@contextmanager
def start(root: Path) -> Iterator[_LocalGoogle]:
    """Start the emulators and the broker, and create what the adapters use."""
    if find_mosquitto() is None:
        raise MissingError("mosquitto is not installed (apt-get install mosquitto)")
    with ExitStack() as stack:
        try:
            bigtable = stack.enter_context(BigtableEmulator())
        except EmulatorMissingError as error:
            raise MissingError(str(error)) from error
        archive = stack.enter_context(CloudStorageEmulator())
        port = stack.enter_context(mosquitto(root / "broker", "allow_anonymous true"))
        running = _LocalGoogle(bigtable, archive, port)
        try:
            yield running
        finally:
            running.close()
