"""The sensor reader's sources read the simulated devices: every reading in a device's log arrives once, in order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_sim.errors import DeviceError
from device_sim.simulation.devices import Device
from device_sim.simulation.event_loop import EventLoopThread
from device_sim.simulation.modbus_device import ModbusDevice
from device_sim.simulation.opcua_device import OpcuaDevice
from device_sim.simulation.sensor_broker import SensorBroker, free_port
from device_sim.simulation.signals import ColdRoom, Pump, Tank
from device_sim.simulation.sparkplug_node import SparkplugNode
from edge_components.common.ports import SystemClock
from tests.unit.sensor_reader.mqtt_site import Site as MqttSite
from tests.unit.sensor_reader.thread_site import QualitySink, ThreadSite
from tests.waiting import until
from wire.model import Quality

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
CLOCK = SystemClock()


@pytest.fixture(scope="module")
def loop() -> Iterator[EventLoopThread]:
    with EventLoopThread("test-devices") as loop:
        yield loop


def _site(device: Device) -> ThreadSite:
    entry = dict(device.source)
    return ThreadSite(entry.pop("kind"), entry, name=entry.pop("name"))


def _arrived(site: Any, device: Device) -> bool:
    return len(site.sink.readings) >= len(device.log)


def _compare(site: Any, device: Device) -> None:
    """Compare the readings that arrived with the log, series by series."""
    arrived = list(zip(site.sink.readings, site.sink.qualities, strict=True))
    assert len(arrived) == len(device.log) > 0
    for served in device.log.readings():
        own = [(time, value, quality) for (name, time, value), quality in arrived if name == served.series.name]
        assert [value for _, value, _ in own] == served.value.tolist()
        assert [quality == Quality.BAD for _, _, quality in own] == served.bad.tolist()
        if served.stamped:
            assert [time for time, _, _ in own] == served.time_ms.tolist()
        else:
            assert all(time >= at for (time, _, _), at in zip(own, served.time_ms.tolist(), strict=True))


def test_a_modbus_pump_is_polled_and_a_failed_sensor_repeats_its_last_value_as_bad(loop: EventLoopThread) -> None:
    with ModbusDevice(Pump("pump-3", 1), loop, CLOCK, poll_ms=20) as pump, _site(pump) as site:
        until(pump.connected, "the first poll")
        site.poll_until(lambda: site.counters["modbus_exceptions"] >= 1)
        assert site.sink.readings == []
        pump.measure(np.array([-3.25, 4100.0, 2.345, 11.07]), CLOCK.wall_ms())
        site.poll_until(lambda: len(site.values) == 4)
        assert site.values == pytest.approx(
            {"pump-3.temperature": -3.25, "pump-3.pressure": 4100, "pump-3.vibration": 2.345, "pump-3.current": 11.07}
        )
        assert site.units["pump-3.vibration"] == "mm/s"
        pump.measure(np.array([-3.5, 70_000.0, math.nan, 11.0]), CLOCK.wall_ms())
        site.poll_until(lambda: Quality.BAD in site.sink.qualities and site.values["pump-3.pressure"] == 65_535)
        pump.finish(CLOCK.wall_ms())
        site.poll_until(lambda: not site.source.health()["connected"] and _arrived(site, pump))
        _compare(site, pump)
        before = len(site.sink.readings)
        pump.measure(np.array([1.0, 2.0, 3.0, 4.0]), CLOCK.wall_ms())
        site.poll_until(lambda: len(site.sink.readings) > before)


def test_an_opc_ua_cold_room_notifies_of_changes_and_a_failed_sensor_repeats_its_last_value_as_bad(
    loop: EventLoopThread,
) -> None:
    with OpcuaDevice(ColdRoom("coldroom-2", 1), loop, sampling_ms=20) as room:
        room.wait_until_listening()
        with _site(room) as site:
            until(room.connected, "the subscriptions")
            start_ms = CLOCK.wall_ms()
            steps = [(-18.0, 70.0), (-18.01, 70.0), (math.nan, 71.0), (-18.01, 71.0), (-18.02, 1400.0)]
            for tick, step in enumerate(steps):
                room.measure(np.array(step), start_ms + 200 * tick)
            site.poll_until(lambda: site.values == {"coldroom-2.temperature": -18.02, "coldroom-2.power": 1400.0})
            room.finish(CLOCK.wall_ms())
            assert len(room.log) == 8
            site.poll_until(lambda: _arrived(site, room))
            _compare(site, room)
            assert site.units["coldroom-2.temperature"] == "Cel"


def test_sparkplug_node_publishes_births_on_request_and_the_death_of_its_device(tmp_path: Path) -> None:
    with SensorBroker(tmp_path) as broker, SparkplugNode(Tank("tank-2", 1), broker.host, broker.port, CLOCK) as node:
        entry = {key: value for key, value in node.source.items() if key not in ("name", "kind", "port")}
        site = MqttSite(broker.port, **entry)
        site.sink, site.clock.wall = QualitySink(), CLOCK.wall_ms()
        site.source.start()
        try:
            site.poll_until(node.connected)
            start_ms = CLOCK.wall_ms()
            for tick, step in enumerate([(1.5, 0.1), (1.51, 0.1), (math.nan, 0.2)]):
                node.measure(np.array(step), start_ms + 200 * tick)
            node.finish(start_ms + 600)
            site.poll_until(lambda: _arrived(site, node))
            assert len(node.log) == 7
            _compare(site, node)
        finally:
            site.source.close()


def test_a_node_without_a_broker_is_an_error_that_names_machine_and_address() -> None:
    port = free_port()
    with (
        pytest.raises(DeviceError, match=rf"tank-2, Sparkplug B on 127\.0\.0\.1:{port}: .*refused"),
        SparkplugNode(Tank("tank-2", 1), "127.0.0.1", port, CLOCK),
    ):
        pass
