"""A simulated machine behind an edge node of Sparkplug B: birth, data and death certificates, rebirth on request.

The node is born when it connects. Its device, the machine, is born with the first measurement and dies at the end; the
broker publishes the node's death if the connection is lost. A sensor that gives no reading is left out of the data.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from device_sim.errors import DeviceError
from device_sim.simulation.service_log import ServiceLog
from device_sim.simulation.signals import Machine, machine_series
from device_sim.simulation.sparkplug_encoding import BOOLEAN, UINT64, Metric, encode
from edge_components.common.ports import Clock
from edge_components.sensor_reader.errors import RejectedError
from edge_components.sensor_reader.sparkplug import decode
from wire.model import FloatArray

NAMESPACE, GROUP, NODE = "spBv1.0", "plant", "edge-1"
REBIRTH = "Node Control/Rebirth"
CONNECT_SECONDS = 10.0


class NodeSession:
    """State of a node and the messages that it publishes. Pure; may be used from several threads.

    ``publish`` takes the type of the message (``NBIRTH``, ``DDATA`` and so on) and the payload.
    """

    def __init__(self, machine: Machine, log: ServiceLog, publish: Callable[[str, bytes], None], clock: Clock) -> None:
        self._channels, self._log, self._publish, self._clock = machine.channels, log, publish, clock
        self._lock = threading.Lock()
        self._birth_number = -1
        self._sequence = 0
        self._alive = False
        self._last: list[tuple[float, int] | None] = [None] * len(self._channels)
        """Value and time of the last reading of each channel."""

    def begin(self) -> bytes:
        """Begin a session under the next number, and return its death certificate: the will of the connection."""
        self._birth_number = (self._birth_number + 1) % 256
        return self.death()

    def death(self) -> bytes:
        """Return the death certificate of the present session."""
        return encode([self._birth_metric()], self._clock.wall_ms(), None)

    def connected(self) -> None:
        """Publish the birth of the node, and of its device if that is alive."""
        with self._lock:
            self._birth()

    def command(self, payload: bytes) -> bool:
        """Carry out a command, and return whether it was a rebirth request."""
        try:
            wanted = any(metric.name == REBIRTH and metric.value for metric in decode(payload).metrics)
        except RejectedError:
            return False
        if wanted:
            with self._lock:
                self._birth()
        return wanted

    def probe(self) -> None:
        """Publish data without a metric, so that a host that does not know the node requests its birth."""
        with self._lock:
            self._send("NDATA", [])

    def measure(self, values: FloatArray, time_ms: int) -> None:
        """Publish readings; NaN is a sensor that gives none."""
        with self._lock:
            metrics = []
            for row, value in enumerate(values.tolist()):
                if not math.isnan(value):
                    self._last[row] = (value, time_ms)
                    self._log.record(row, time_ms, value)
                    metrics.append(Metric("", value, alias=row, time_ms=time_ms))
            if self._alive:
                self._send("DDATA", metrics, time_ms)
            else:
                self._alive = True
                self._device_birth(time_ms)

    def device_death(self, time_ms: int) -> None:
        """Publish the death of the device: its last values are stored again, with quality bad."""
        with self._lock:
            if not self._alive:
                return
            self._alive = False
            for row, last in enumerate(self._last):
                if last is not None:
                    self._log.record(row, time_ms, last[0], bad=True)
            self._send("DDEATH", [], time_ms)

    def _birth(self) -> None:
        self._sequence = 0
        rebirth = Metric(REBIRTH, value=False, datatype=BOOLEAN)
        self._send("NBIRTH", [self._birth_metric(), rebirth])
        if self._alive:
            self._device_birth(self._clock.wall_ms())

    def _birth_metric(self) -> Metric:
        return Metric("bdSeq", self._birth_number, UINT64)

    def _device_birth(self, time_ms: int) -> None:
        metrics = []
        for row, (channel, last) in enumerate(zip(self._channels, self._last, strict=True)):
            value, measured_ms = (None, time_ms) if last is None else last
            metrics.append(Metric(channel.name, value, alias=row, time_ms=measured_ms, unit=channel.unit))
        self._send("DBIRTH", metrics, time_ms)

    def _send(self, kind: str, metrics: list[Metric], time_ms: int | None = None) -> None:
        payload = encode(metrics, self._clock.wall_ms() if time_ms is None else time_ms, self._sequence)
        self._sequence = (self._sequence + 1) % 256
        self._publish(kind, payload)


class SparkplugNode:
    """See :class:`device_sim.simulation.devices.Device`; a context manager. Raises DeviceError."""

    protocol = "Sparkplug B"

    def __init__(self, machine: Machine, host: str, port: int, clock: Clock) -> None:
        self.machine, self._host, self._port = machine.name, host, port
        self._channels = machine.channels
        self.log = ServiceLog(machine_series(machine), stamped=True)
        self._session = NodeSession(machine, self.log, self._publish, clock)
        self._answered, self._requested = threading.Event(), threading.Event()
        self._failure = ""
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=f"strandline-{NODE}", protocol=mqtt.MQTTv311, clean_session=True
        )
        self._client.on_connect, self._client.on_subscribe = self._on_connect, self._on_subscribe
        self._client.on_pre_connect, self._client.on_message = self._on_pre_connect, self._on_message

    def __enter__(self) -> Self:
        try:
            self._client.connect(self._host, self._port, keepalive=30)
        except OSError as error:
            raise self._error(str(error)) from error
        self._client.loop_start()
        if not self._answered.wait(CONNECT_SECONDS) or self._failure:
            self.__exit__()
            raise self._error(self._failure or "the broker does not answer")
        return self

    def __exit__(self, *_: object) -> None:
        if self._client.is_connected():
            # A regular disconnection discards the will.
            self._client.publish(self._topic("NDEATH"), self._session.death(), qos=1)
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def address(self) -> str:
        """See :class:`device_sim.simulation.devices.Device`."""
        return f"mqtt://{self._host}:{self._port}, topics {NAMESPACE}/{GROUP}/+/{NODE}/{self.machine}"

    @property
    def source(self) -> Mapping[str, Any]:
        """See :class:`device_sim.simulation.devices.Device`."""
        names = [f"{self.machine}.{channel.name}" for channel in self._channels]
        return {
            "name": self.machine,
            "kind": "mqtt",
            "host": self._host,
            "port": self._port,
            "preset": "sparkplug",
            "rename": {f"{GROUP}.{NODE}.{name}": name for name in names},
        }

    def connected(self) -> bool:
        """See :class:`device_sim.simulation.devices.Device`: a host that receives data has requested a birth."""
        if not self._requested.is_set():
            self._session.probe()
        return self._requested.is_set()

    def measure(self, values: FloatArray, time_ms: int) -> None:
        """See :class:`device_sim.simulation.devices.Device`."""
        self._session.measure(values, time_ms)

    def finish(self, time_ms: int) -> None:
        """See :class:`device_sim.simulation.devices.Device`; publishes the death of the device."""
        self._session.device_death(time_ms)
        self.log.close()

    def _topic(self, kind: str) -> str:
        topic = f"{NAMESPACE}/{GROUP}/{kind}/{NODE}"
        return f"{topic}/{self.machine}" if kind.startswith("D") else topic

    def _publish(self, kind: str, payload: bytes) -> None:
        # The specification has quality of service 0 for all but the node's death.
        info = self._client.publish(self._topic(kind), payload, qos=0)
        if info.rc not in (mqtt.MQTT_ERR_SUCCESS, mqtt.MQTT_ERR_NO_CONN):
            raise self._error(f"publish {kind}: {mqtt.error_string(info.rc)}")

    def _error(self, text: str) -> DeviceError:
        return DeviceError(f"{self.machine}, {self.protocol} on {self._host}:{self._port}: {text}")

    def _on_pre_connect(self, client: mqtt.Client, _data: object) -> None:
        client.will_set(self._topic("NDEATH"), self._session.begin(), qos=1)

    def _on_connect(
        self, client: mqtt.Client, _data: object, _flags: object, code: ReasonCode, _properties: object
    ) -> None:
        if code.is_failure:
            self._failure = f"refuses the connection: {code}"
            self._answered.set()
            return
        client.subscribe(self._topic("NCMD"), qos=1)

    def _on_subscribe(self, *_: object) -> None:
        self._session.connected()
        self._answered.set()

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        if self._session.command(bytes(message.payload)):
            self._requested.set()
