"""Tests of the sensors: they publish the values of the plant at its rate and record them in the ledger."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from device_sim.errors import BrokerError
from device_sim.simulation.devices import Pace, Sensors
from device_sim.simulation.faults import Fault, FaultKind, readings
from device_sim.simulation.ledger import Ledger
from device_sim.simulation.mqtt_publisher import MqttPublisher
from device_sim.simulation.sensor_broker import SensorBroker, free_port
from device_sim.simulation.signals import demo_plant
from edge_components.common.ports import SystemClock
from tests.fakes import FakeClock
from tests.waiting import until


class FakePublisher:
    def __init__(self, unconfirmed: int = 0) -> None:
        self.sent: list[tuple[str, dict[str, float]]] = []
        self._unconfirmed = unconfirmed

    def publish(self, topic: str, payload: bytes) -> None:
        self.sent.append((topic, json.loads(payload)))

    def flush(self, timeout: float) -> int:
        return self._unconfirmed


def _pace(clock: FakeClock, stop_after: int = 10**9) -> Pace:
    waits = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        clock.advance(seconds)
        return len(waits) > stop_after

    return Pace(clock, wait)


def test_every_reading_goes_out_once_with_the_time_at_which_it_was_due() -> None:
    clock, publisher, plant = FakeClock(), FakePublisher(), demo_plant(1)
    sensors = Sensors(plant, (), publisher, _pace(clock))
    assert sensors.run(2.0) == 240 == len(publisher.sent) == len(sensors.ledger)
    values = readings(plant, (), np.arange(10))
    topic, body = publisher.sent[24 * 3 + 2]
    assert topic == "sensors/pump-1/vibration"
    assert body == {"value": values[2, 3], "time": 1_700_000_000_600}
    assert clock.monotonic() == pytest.approx(1_001.8)
    assert (sensors.origin_ms, sensors.end_ms) == (1_700_000_000_000, 1_700_000_002_000)


def test_a_late_machine_catches_up_without_changing_the_times() -> None:
    clock, publisher = FakeClock(), FakePublisher()
    slow = Pace(clock, lambda seconds: bool(clock.advance(seconds + 0.7)))
    Sensors(demo_plant(1), (), publisher, slow).run(1.0)
    assert sorted({body["time"] - 1_700_000_000_000 for _, body in publisher.sent}) == [0, 200, 400, 600, 800]


def test_the_ledger_counts_by_series_and_window_without_dropouts() -> None:
    clock, publisher = FakeClock(wall_ms=1_700_000_000_500), FakePublisher()
    gone = Fault("tank-1.level", FaultKind.DROPOUT, 400, 2000)
    sensors = Sensors(demo_plant(1), (gone,), publisher, _pace(clock))
    sensors.run(2.0)
    counts = sensors.ledger.counts()
    assert {k[1]: n for k, n in counts.items() if k[0] == "pump-3.current"} == {
        1_700_000_000_000: 3,
        1_700_000_001_000: 5,
        1_700_000_002_000: 2,
    }
    assert {k[1]: n for k, n in counts.items() if k[0] == "tank-1.level"} == {1_700_000_000_000: 2}
    assert sum(counts.values()) == len(publisher.sent) == 240 - 8


def test_the_sensors_stop_on_request() -> None:
    clock, publisher = FakeClock(), FakePublisher()
    sensors = Sensors(demo_plant(1), (), publisher, _pace(clock, stop_after=3))
    assert sensors.run(60.0) == 72 == len(publisher.sent)


def test_labels_are_counted_from_the_epoch_once_the_run_has_begun() -> None:
    fault = Fault("pump-1.current", FaultKind.STEP, 100, 300, 5.0)
    sensors = Sensors(demo_plant(1), (fault,), FakePublisher(), _pace(FakeClock()))
    sensors.run(1.0)
    assert sensors.labels() == (fault.shifted(1_700_000_000_000),)


def test_the_error_for_unacknowledged_readings_has_their_number() -> None:
    sensors = Sensors(demo_plant(1), (), FakePublisher(unconfirmed=7), _pace(FakeClock()))
    with pytest.raises(BrokerError, match="has not acknowledged 7 of 120 readings"):
        sensors.run(1.0)


def test_an_empty_ledger_counts_nothing() -> None:
    ledger = Ledger(demo_plant(1).series, 1000)
    assert len(ledger) == 0
    assert ledger.counts() == {}


def test_over_real_mqtt_a_subscriber_gets_every_reading(tmp_path: Path) -> None:
    got: list[str] = []
    with SensorBroker(tmp_path) as broker:
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        ready: list[object] = []
        client.on_message = lambda _c, _u, message: got.append(message.topic)
        client.on_subscribe = lambda *_: ready.append(True)
        client.connect(broker.host, broker.port)
        client.loop_start()
        client.subscribe("sensors/+/+", 1)
        until(lambda: ready, "the subscription")
        with MqttPublisher(broker.host, broker.port) as publisher:
            sent = Sensors(demo_plant(1, rate_hz=100.0), (), publisher, Pace(SystemClock(), lambda _s: False)).run(2.0)
        until(lambda: len(got) >= sent, f"{sent} readings")
        client.disconnect()
        client.loop_stop()
    assert len(got) == sent == 4800


def test_no_broker_is_an_error_that_names_the_address() -> None:
    port = free_port()
    with pytest.raises(BrokerError, match=rf"no MQTT broker at 127\.0\.0\.1:{port}: .*refused"):
        MqttPublisher("127.0.0.1", port)
