"""Tests of the sensor broker: start, error of a failed start, and end."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from device_sim.errors import BrokerError
from device_sim.simulation.mqtt_publisher import MqttPublisher
from device_sim.simulation.sensor_broker import BrokerKind, SensorBroker, find_mosquitto, free_port

KINDS = [
    BrokerKind.IOTCORE,
    pytest.param(
        BrokerKind.MOSQUITTO,
        marks=pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed"),
    ),
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_broker_starts_on_a_free_port_and_is_stopped(tmp_path: Path, kind: BrokerKind) -> None:
    with SensorBroker(tmp_path, kind=kind) as broker, MqttPublisher(broker.host, broker.port) as publisher:
        publisher.publish("sensors/a/b", b"{}")
        assert publisher.flush(10) == 0
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((broker.host, broker.port), timeout=1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_broker_listens_on_loopback_only(tmp_path: Path, kind: BrokerKind) -> None:
    with SensorBroker(tmp_path, kind=kind) as broker, socket.socket() as probe:
        # Taken on 127.0.0.1 alone, the port is free on another loopback address.
        probe.bind(("127.0.0.2", broker.port))


@pytest.mark.parametrize("kind", KINDS)
def test_the_error_for_a_port_in_use_names_it(tmp_path: Path, kind: BrokerKind) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            BrokerError, match=rf"127\.0\.0\.1:{port}: Address already in use; choose another port or 0"
        ):
            SensorBroker(tmp_path, port, kind).__enter__()


def test_an_invalid_port_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="broker port 70000: allowed are 0 to 65535"):
        SensorBroker(tmp_path, 70_000).__enter__()


@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    with pytest.raises(BrokerError, match=r"file.*: "):
        SensorBroker(file, kind=BrokerKind.MOSQUITTO).__enter__()


def test_the_error_without_mosquitto_names_the_package_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device_sim.simulation.sensor_broker.find_mosquitto", lambda: None)
    with pytest.raises(BrokerError, match="apt-get install mosquitto"):
        SensorBroker(tmp_path, kind=BrokerKind.MOSQUITTO).__enter__()


def test_a_free_port_can_be_bound() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", free_port()))
