"""Each preset converts the numeric and on/off measurements of its family, without identifiers and texts."""

from __future__ import annotations

import json
import logging
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_components.common.errors import ConfigError
from edge_components.common.health import Counters
from edge_components.common.limited_log import RateLimitedLog
from edge_components.sensor_reader.mapping.bindings import preset_names, read_bindings
from edge_components.sensor_reader.sources.mqtt import MqttSource, read_entry
from tests.examples import examples
from tests.fakes import FakeClock
from tests.unit.sensor_reader.fakes import FakeConnection, Sink
from tests.unit.sensor_reader.preset_samples import SAMPLES, encoded

NOW_MS = 1_700_000_000_000
CASES = [
    pytest.param(preset, sample.topic, sample.payload, sample.expected, id=f"{preset}-{at}")
    for preset, samples in SAMPLES.items()
    for at, sample in enumerate(samples)
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
    assert all("http" in sample.source for samples in SAMPLES.values() for sample in samples)


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
    topic, payload, *_ = SAMPLES["milesight"][0]
    connection.publish((topic, encoded(payload)))
    source.poll(sink)
    assert {time for _, time, _ in sink.readings} == {NOW_MS - 9_877}
    units = {sink.registry[at].name: sink.registry[at].unit for at in range(3)}
    assert units == {"d-1.battery": "%", "d-1.temperature": "Cel", "d-1.humidity": "%RH"}


class Family:
    """A source of one preset on fakes."""

    def __init__(self, preset: str, **keys: Any) -> None:
        self.clock, self.counters = FakeClock(NOW_MS), Counters()
        self.sink, self._connection = Sink(self.clock), FakeConnection(self.clock)
        log = RateLimitedLog(self.counters, logging.getLogger("test"), self.clock)
        self._source = MqttSource(read_entry({"preset": preset, **keys}), self.clock, log, self._connection)

    @property
    def acknowledged(self) -> list[int]:
        """The numbers of the publications that were acknowledged."""
        return self._connection.acknowledged

    def read(self, topic: str, payload: object) -> dict[str, float]:
        """Return the readings that one publication gives, by name."""
        self.sink.readings.clear()
        self._connection.publish((topic, encoded(payload)))
        self._source.poll(self.sink)
        return {name: value for name, _time, value in self.sink.readings}

    def publish(self, *topics_and_payloads: str) -> None:
        """Receive publications at once: topic, payload, topic, payload, and so on."""
        pairs = zip(topics_and_payloads[::2], topics_and_payloads[1::2], strict=True)
        self._connection.publish(*((topic, payload.encode()) for topic, payload in pairs))
        self._source.poll(self.sink)


def test_a_shelly_that_sends_both_forms_gives_each_series_once() -> None:
    family = Family("shelly")
    notification = {"params": {"ts": NOW_MS / 1000, "switch:0": {"id": 0, "apower": 5.5}}}
    status = {"id": 0, "output": True, "apower": 5.5}
    assert family.read("plug/events/rpc", notification) == {"plug.switch:0.apower": 5.5}
    assert family.read("plug/status/switch:0", status) == {"plug.switch:0.output": 1}
    assert family.counters["fields_skipped"] >= 1
    family.clock.advance(601)  # notifications have stopped
    assert family.read("plug/status/switch:0", status) == {"plug.switch:0.output": 1, "plug.switch:0.apower": 5.5}
    assert family.sink.collisions == []


def test_a_tasmota_relay_is_one_series_of_all_its_topics() -> None:
    family = Family("tasmota")
    assert family.read("tele/fan/STATE", {"POWER": "OFF"}) == {"fan.POWER": 0}
    assert family.read("stat/fan/POWER", "ON") == {"fan.POWER": 1}
    assert family.read("tele/fan/STATE", {"POWER": "ON"}) == {"fan.POWER": 1}
    assert family.sink.collisions == []


def test_temperatures_of_a_tasmota_have_the_unit_that_the_device_is_set_to() -> None:
    family = Family("tasmota")
    family.read("tele/a/SENSOR", {"DHT11": {"Temperature": 71.6}, "TempUnit": "F"})
    family.read(
        "tele/b/SENSOR", {"BME280": {"Temperature": 20, "Pressure": 750}, "PressureUnit": "mmHg", "TempUnit": "C"}
    )
    units = {series.name: series.unit for series in (family.sink.registry[at] for at in range(3))}
    assert units == {"a.DHT11.Temperature": "degF", "b.BME280.Temperature": "Cel", "b.BME280.Pressure": "mmHg"}


def test_an_advertisement_in_format_6_is_skipped_where_its_sensor_sends_e1() -> None:
    family = Family("ruuvi")
    (short,), (extended,) = (
        [one for one in SAMPLES["ruuvi"] if form in one.source] for form in ("Data format 6,", "Data format E1")
    )
    assert family.read("ruuvi/gw/air", short.payload)
    assert family.read("ruuvi/gw/air", extended.payload)
    assert family.read("ruuvi/gw/air", short.payload) == {}
    assert family.read("ruuvi/gw/other", short.payload)


def test_past_readings_of_a_milesight_have_their_own_times() -> None:
    family = Family("milesight")
    history = [{"timestamp": 1_699_990_000, "temperature": 20}, {"timestamp": 1_699_993_600, "temperature": 21}]
    decoded = {"temperature": 22, "history": history}
    family.read(
        "v3/app/devices/d/up", {"received_at": "2023-11-14T22:13:10Z", "uplink_message": {"decoded_payload": decoded}}
    )
    assert family.sink.readings == [
        ("d.temperature", 1_699_999_990_000, 22.0),
        ("d.temperature", 1_699_990_000_000, 20.0),
        ("d.temperature", 1_699_993_600_000, 21.0),
    ]


def test_stored_readings_of_a_dragino_have_their_own_times() -> None:
    family = Family("dragino")
    log = "[24.9,25.3,47.1,2023-11-14 20:53:20],[25.0,25.4,47.0,2023-11-14 21:53:20],"
    decoded = {"Node_type": "LHT65N", "BatV": 3.05, "DATALOG": log}
    family.read(
        "v3/app/devices/d/up", {"received_at": "2023-11-14T22:13:10Z", "uplink_message": {"decoded_payload": decoded}}
    )
    assert family.sink.readings == [
        ("d.BatV", 1_699_999_990_000, 3.05),
        ("d.Ext_value", 1_699_995_200_000, 24.9),
        ("d.TempC_SHT", 1_699_995_200_000, 25.3),
        ("d.Hum_SHT", 1_699_995_200_000, 47.1),
        ("d.Ext_value", 1_699_998_800_000, 25.0),
        ("d.TempC_SHT", 1_699_998_800_000, 25.4),
        ("d.Hum_SHT", 1_699_998_800_000, 47.0),
    ]
    assert family.sink.registry[2].unit == "Cel"


@pytest.mark.parametrize(
    ("decoded", "text"),
    [
        ({"BatV": 3.0, "Node_type": "XY1", "DATALOG": "[1,2]"}, "'XY1' are not known: set columns"),
        ({"BatV": 3.0, "DATALOG": "[1,2]"}, "'None' are not known: set columns"),
        ({"BatV": 3.0, "Node_type": "LSN50-S31", "DATALOG": "[1,2],"}, "2 values in record 1, expected 3"),
    ],
)
def test_stored_readings_of_a_dragino_that_cannot_be_read_are_rejected_and_the_others_are_used(
    decoded: dict[str, Any], text: str
) -> None:
    family = Family("dragino")
    values = family.read("v3/app/devices/d/up", {"uplink_message": {"decoded_payload": decoded}})
    assert values == {"d.BatV": 3.0}
    ((reason, found),) = family.sink.rejected
    assert reason == "rejected_value"
    assert text in found
    assert family.acknowledged == [1]


def test_columns_of_the_stored_readings_of_another_dragino_are_configured() -> None:
    topic = {"topic": "v3/+/devices/{device}/up", "columns": ["time", "", "level"]}
    family = Family("dragino", topics=[topic])
    decoded = {"Node_type": "XY1", "DATALOG": "[2023-11-14 21:53:20, High, 1.5]"}
    family.read("v3/app/devices/d/up", {"uplink_message": {"decoded_payload": decoded}})
    assert family.sink.readings == [("d.level", 1_699_998_800_000, 1.5)]
    with pytest.raises(ConfigError, match="columns has no 'time'"):
        read_bindings({"preset": "dragino", "columns": ["a", "b"]}, [])


def test_a_property_of_a_zigbee_device_is_one_series_of_the_object_and_of_its_own_topic() -> None:
    family = Family("zigbee2mqtt")
    assert family.read("zigbee2mqtt/plug", {"state": "ON", "power": 43.5}) == {"plug.state": 1, "plug.power": 43.5}
    assert family.read("zigbee2mqtt/plug/state", "ON") == {}
    assert family.read("zigbee2mqtt/plug/power", "43.5") == {}
    assert family.read("zigbee2mqtt/valve/temperature", "21.5") == {"valve.temperature": 21.5}
    units = {series.name: series.unit for series in (family.sink.registry[at] for at in range(3))}
    assert units == {"plug.state": "", "plug.power": "W", "valve.temperature": "Cel"}
    assert family.sink.collisions == []


def test_plain_text_beside_json_is_read_and_what_begins_like_json_is_rejected() -> None:
    family = Family("zigbee2mqtt")
    assert family.read("zigbee2mqtt/plug/state", '{"state": ') == {}
    assert [reason for reason, _text in family.sink.rejected] == ["rejected_json"]
    family.sink.readings.clear()
    family.publish("zigbee2mqtt/a/state", "ON", "zigbee2mqtt/b", '{"power": 2}', "zigbee2mqtt/c/power", "3")
    values = {name: value for name, _time, value in family.sink.readings}
    assert values == {"a.state": 1, "b.power": 2, "c.power": 3}


def test_a_topic_of_a_preset_that_is_listed_has_the_keys_that_it_has_by_default() -> None:
    (relay,) = read_bindings({"topics": [{"topic": "stat/{device}/POWER", "preset": "tasmota"}]}, [])
    assert (relay.mapping.format, relay.mapping.series) == ("plain", "{device}.POWER")
    (relay,) = read_bindings({"topics": [{"topic": "stat/{device}/POWER", "preset": "tasmota", "series": "r"}]}, [])
    assert (relay.mapping.format, relay.mapping.series) == ("plain", "r")


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(), st.text(max_size=5), st.just([]), st.just({})
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def changed(body: Any, data: st.DataObject) -> Any:
    """Return a JSON value in which anything is in the place of one of its parts."""
    if isinstance(body, dict | list) and body and data.draw(st.integers(0, 4)):
        at = data.draw(st.sampled_from(sorted(body) if isinstance(body, dict) else range(len(body))))
        copy = dict(body) if isinstance(body, dict) else list(body)
        copy[at] = changed(copy[at], data)
        return copy
    return data.draw(ANYTHING)


@pytest.mark.parametrize("preset", SAMPLES)
@settings(max_examples=examples(20))
@given(data=st.data())
def test_a_sample_in_which_anything_is_changed_is_read_or_rejected_and_acknowledged(
    preset: str, data: st.DataObject
) -> None:
    sample = data.draw(st.sampled_from(SAMPLES[preset]))
    body = sample.payload if isinstance(sample.payload, str) else json.dumps(changed(sample.payload, data))
    family = Family(preset)
    values = family.read(sample.topic, body)
    assert all(math.isfinite(value) for value in values.values())
    assert family.acknowledged == [1]


def test_fields_that_contain_the_internal_separator_stay_apart() -> None:
    family = Family("shelly")
    body = {"\x1f": [False, True], "a\x1fb": True, "a\x1fc": False}
    values = family.read("shellies/shellymotionsensor-1/status", body)
    assert sorted(values.values()) == [0, 0, 1, 1]
    assert family.acknowledged == [1]


def test_a_tasmota_that_is_set_to_another_unit_gives_its_next_readings_in_that() -> None:
    family = Family("tasmota")
    for value, unit in ((20.0, "C"), (21.0, "C"), (68.0, "F"), (69.0, "F"), (20.5, "C")):
        family.read("tele/a/SENSOR", {"DHT11": {"Temperature": value}, "TempUnit": unit})
        assert family.sink.registry[0].unit == {"C": "Cel", "F": "degF"}[unit]
    assert len(family.sink.registry) == 1
