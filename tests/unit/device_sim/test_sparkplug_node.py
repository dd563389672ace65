"""Tests of the messages of the simulated Sparkplug node, and of how the sensor reader's format reads them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from device_sim.simulation.service_log import ServiceLog
from device_sim.simulation.signals import Tank, machine_series
from device_sim.simulation.sparkplug_node import NodeSession
from edge_components.sensor_reader.formats import Columns
from edge_components.sensor_reader.formats.sparkplug import SparkplugFormat
from edge_components.sensor_reader.mapping.settings import MappingSettings
from edge_components.sensor_reader.sparkplug import Payload, decode, rebirth_request
from tests.fakes import FakeClock
from wire.model import Quality

TANK = Tank("tank-2", 1)


class Node:
    """A session with the messages that it published."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.log = ServiceLog(machine_series(TANK), stamped=True)
        self.sent: list[tuple[str, bytes]] = []
        self.session = NodeSession(TANK, self.log, lambda kind, payload: self.sent.append((kind, payload)), self.clock)
        self.will = self.session.begin()

    def messages(self) -> list[tuple[str, Payload]]:
        return [(kind, decode(payload)) for kind, payload in self.sent]

    def measure(self, *values: float) -> None:
        self.clock.advance(0.2)
        self.session.measure(np.array(values), self.clock.wall_ms())


@pytest.fixture
def node() -> Node:
    return Node()


def test_births_name_the_metrics_and_data_use_their_aliases_in_sequence(node: Node) -> None:
    node.session.connected()
    node.measure(1.5, 0.1)
    node.measure(1.6, 0.2)
    (nbirth, node_birth), (dbirth, birth), (ddata, data) = node.messages()
    assert (nbirth, dbirth, ddata) == ("NBIRTH", "DBIRTH", "DDATA")
    assert [message.sequence for _, message in node.messages()] == [0, 1, 2]
    assert [(metric.name, metric.value) for metric in node_birth.metrics] == [
        ("bdSeq", 0),
        ("Node Control/Rebirth", False),
    ]
    assert [(metric.name, metric.alias, metric.value) for metric in birth.metrics] == [
        ("level", 0, 1.5),
        ("inflow", 1, 0.1),
    ]
    assert birth.metrics[0].properties == {"engUnit": "m"}
    assert [(metric.name, metric.alias, metric.value) for metric in data.metrics] == [("", 0, 1.6), ("", 1, 0.2)]
    assert data.metrics[0].timestamp == node.clock.wall_ms()


def test_the_sequence_number_wraps_after_255(node: Node) -> None:
    node.session.connected()
    for _ in range(256):
        node.session.probe()
    assert [message.sequence for _, message in node.messages()][-2:] == [255, 0]


def test_a_rebirth_request_repeats_the_births_with_the_times_of_the_readings(node: Node) -> None:
    node.session.connected()
    node.measure(1.5, 0.1)
    measured_ms = node.clock.wall_ms()
    node.clock.advance(5)
    node.sent.clear()
    assert node.session.command(rebirth_request())
    (_, _), (kind, birth) = node.messages()
    assert [message.sequence for _, message in node.messages()] == [0, 1]
    assert (kind, birth.metrics[0].timestamp, birth.timestamp) == ("DBIRTH", measured_ms, node.clock.wall_ms())
    assert len(node.log) == 2


@pytest.mark.parametrize("payload", [b"", b"\xff\xff", b"\x12\x03\x0a\x01x"])
def test_another_command_changes_nothing(node: Node, payload: bytes) -> None:
    assert not node.session.command(payload)
    assert node.sent == []


def test_each_session_has_its_number_in_birth_and_will(node: Node) -> None:
    will = node.session.begin()
    node.session.connected()
    assert decode(node.will).metrics[0].value == 0
    assert decode(will).metrics[0].value == decode(node.sent[0][1]).metrics[0].value == 1
    assert decode(will).sequence is None


def test_a_sensor_without_a_reading_is_left_out(node: Node) -> None:
    node.session.connected()
    node.measure(1.5, 0.1)
    node.measure(math.nan, 0.2)
    assert [metric.alias for metric in node.messages()[-1][1].metrics] == [1]
    assert [len(readings.value) for readings in node.log.readings()] == [1, 2]


def test_the_sensor_reader_stores_what_the_log_holds_and_asks_an_unknown_node_for_its_birth(node: Node) -> None:
    node.session.probe()
    node.session.connected()
    node.measure(1.5, 0.1)
    node.measure(1.6, 0.2)
    node.session.device_death(node.clock.wall_ms() + 200)
    reader, columns = SparkplugFormat(MappingSettings()), Columns()
    for index, (kind, payload) in enumerate(node.sent):
        device = "/tank-2" if kind.startswith("D") else ""
        reader.parse(f"spBv1.0/plant/{kind}/edge-1{device}".encode(), payload, columns, index)
    assert [topic for topic, _ in columns.replies] == ["spBv1.0/plant/NCMD/edge-1"]
    level = [at for at, field in enumerate(columns.fields) if field == "plant.edge-1.tank-2.level"]
    readings = node.log.readings()[0]
    assert [columns.values[at] for at in level] == readings.value.tolist() == [1.5, 1.6, 1.6]
    assert [columns.times[at] for at in level] == readings.time_ms.tolist()
    assert [columns.qualities[at] == Quality.BAD for at in level] == readings.bad.tolist() == [False, False, True]
    assert {columns.units[at] for at in level} == {"m"}
