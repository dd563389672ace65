"""Each preset converts the numeric and on/off measurements of its family, without identifiers and texts."""

from __future__ import annotations

import logging

import pytest

from edge_components.common.health import Counters
from edge_components.common.limited_log import RateLimitedLog
from edge_components.sensor_reader.mapping.bindings import preset_names, read_bindings
from edge_components.sensor_reader.sources.mqtt import MqttSource, read_entry
from tests.fakes import FakeClock
from tests.unit.sensor_reader.fakes import FakeConnection, Sink
from tests.unit.sensor_reader.preset_samples import SAMPLES, encoded

NOW_MS = 1_700_000_000_000
CASES = [
    pytest.param(preset, topic, payload, expected, id=f"{preset}-{at}")
    for preset, samples in SAMPLES.items()
    for at, (topic, payload, expected) in enumerate(samples)
]


@pytest.mark.parametrize(("preset", "topic", "payload", "expected"), CASES)
def test_a_sample_gives_its_measurements_and_nothing_else(
    preset: str, topic: str, payload: object, expected: dict[str, float]
) -> None:
    clock = FakeClock(NOW_MS)
    sink, connection = Sink(clock), FakeConnection(clock)
    log = RateLimitedLog(Counters(), logging.getLogger("test"), clock)
    source = MqttSource(read_entry({"preset": preset}), clock, log, connection)
    for _ in range(2):  # the second time all series are known
        sink.readings.clear()
        connection.publish((topic, encoded(payload)))
        source.poll(sink)
        assert {name: value for name, _time, value in sink.readings} == pytest.approx(expected)
        assert len(sink.readings) == len(expected)
    assert connection.acknowledged == [1, 2]


def test_every_preset_has_five_samples_or_tests_of_its_own() -> None:
    assert set(preset_names()) == {*SAMPLES, "sparkplug"}
    assert all(len(samples) >= 5 for samples in SAMPLES.values())


@pytest.mark.parametrize("preset", preset_names())
def test_a_preset_s_topics_are_valid_and_can_be_replaced(preset: str) -> None:
    assert read_bindings({"preset": preset}, [])
    (binding,) = read_bindings({"preset": preset, "topics": ["site/{device}"]}, [])
    assert binding.topic == "site/{device}"


def test_a_preset_s_times_and_units_are_used() -> None:
    clock = FakeClock(NOW_MS)
    sink, connection = Sink(clock), FakeConnection(clock)
    log = RateLimitedLog(Counters(), logging.getLogger("test"), clock)
    source = MqttSource(read_entry({"preset": "milesight"}), clock, log, connection)
    topic, payload, _ = SAMPLES["milesight"][0]
    connection.publish((topic, encoded(payload)))
    source.poll(sink)
    assert {time for _, time, _ in sink.readings} == {NOW_MS - 9_877}
    units = {sink.registry[at].name: sink.registry[at].unit for at in range(3)}
    assert units == {"d-1.battery": "%", "d-1.temperature": "Cel", "d-1.humidity": "%RH"}
