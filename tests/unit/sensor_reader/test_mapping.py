"""The mapping turns values, times and names as devices write them into readings."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge_components.common.errors import ConfigError
from edge_components.sensor_reader.errors import RejectedError
from edge_components.sensor_reader.mapping.bindings import read_bindings
from edge_components.sensor_reader.mapping.names import escape
from edge_components.sensor_reader.mapping.values import Rule, number, quality, unit_in
from edge_components.sensor_reader.timestamps import EventTimes
from tests.unit.sensor_reader.decoding import decoder, readings, reasons
from wire.model import Quality, Series, is_statistic

ON_OFF = Rule(words={"on": 1, "off": 0})
COMMA = Rule(decimal_comma=True)


@pytest.mark.parametrize(
    ("raw", "rule", "expected"),
    [
        *((raw, Rule(), 21.5) for raw in (21.5, "21.5", " 21.5 ", "+21.5", "2.15e1", "21.5 Cel", "21.5°C", "21.5 %")),
        *((raw, Rule(), -0.5) for raw in ("-.5", "-0.5", "-5e-1")),
        *(("1.234,5", COMMA, 1234.5), ("21,5 kWh", COMMA, 21.5), ("21.5", COMMA, 21.5)),
        *((True, Rule(), 1), (False, Rule(), 0), (True, Rule(words={"true": 0}), 0)),
        *(("ON", ON_OFF, 1), (" off ", ON_OFF, 0), ("7", ON_OFF, 7)),
        (100, Rule(scale=0.1, offset=-5), 5),
        (32, Rule(scale=5 / 9, offset=-160 / 9), 0),
    ],
)
def test_a_value_is_a_number_however_it_is_written(raw: Any, rule: Rule, expected: float) -> None:
    assert number(raw, rule) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        *((raw, "rejected_value") for raw in ("", "warm", "1 2", "1,5", "21.5.1", "0x10", [1], {}, "9" * 65, "--1")),
        (None, "rejected_null"),
        *((raw, "rejected_not_finite") for raw in (float("nan"), float("inf"), "1e999")),
        *((raw, "rejected_range") for raw in (1e101, 10**400, "1e200")),
    ],
)
def test_what_is_not_a_number_is_rejected(raw: Any, reason: str) -> None:
    with pytest.raises(RejectedError) as caught:
        number(raw)
    assert caught.value.reason == reason


def test_the_unit_in_a_text_is_found() -> None:
    assert [unit_in(text, Rule()) for text in ("21.5 °C", "4kWh", "5")] == ["°C", "kWh", ""]
    assert unit_in("21,5 V", COMMA) == "V"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        *((None, Quality.GOOD), (0, Quality.GOOD), (1, Quality.UNCERTAIN), (2, Quality.BAD), ("Good", Quality.GOOD)),
        *((True, Quality.GOOD), (False, Quality.BAD), (192, Quality.GOOD), (64, Quality.UNCERTAIN), (24, Quality.BAD)),
        *((0x40000000, Quality.UNCERTAIN), (0x80000000, Quality.BAD), (0x00300000, Quality.GOOD)),
    ],
)
def test_qualities_are_words_switches_or_opc_codes(raw: Any, expected: Quality) -> None:
    assert quality(raw) == expected


NOON_BERLIN = 1_699_959_600_000


@pytest.mark.parametrize(
    ("text", "arrival_ms", "expected"),
    [
        ("2023-11-14T12:00:00", NOON_BERLIN, NOON_BERLIN),
        ("2023/11/14 12:00:00", NOON_BERLIN, NOON_BERLIN),
        # The hour from 2 to 3 occurs twice on 2023-10-29: the one nearer the arrival counts.
        ("2023-10-29T02:30:00", 1_698_539_400_000, 1_698_539_400_000),
        ("2023-10-29T02:30:00", 1_698_543_000_000, 1_698_543_000_000),
        ("2023-11-14T12:00:00+00:00", NOON_BERLIN, NOON_BERLIN + 3_600_000),
        (str(NOON_BERLIN), NOON_BERLIN, NOON_BERLIN),
        (f" {NOON_BERLIN // 1000}.5 ", NOON_BERLIN, NOON_BERLIN + 500),
    ],
)
def test_local_times_and_numbers_in_text_are_read(text: str, arrival_ms: int, expected: int) -> None:
    assert decoder(time_zone="Europe/Berlin").times.one(text, arrival_ms) == (expected, False)


def test_a_clock_that_was_never_set_or_is_ahead_is_replaced_by_the_arrival() -> None:
    for raw in (12_345, "1970-01-01T00:05:00Z", NOON_BERLIN + 10**9, 0):
        assert EventTimes(1_000).one(raw, NOON_BERLIN) == (NOON_BERLIN, True)
        with pytest.raises(RejectedError):
            EventTimes(1_000, replace_unusable=False).one(raw, NOON_BERLIN)


@given(st.text(min_size=1, max_size=20))
def test_any_text_becomes_a_valid_name(text: str) -> None:
    assert Series(escape(text)).name == escape(text)


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9\-:./_]{0,100}", fullmatch=True))
def test_a_valid_name_stays_as_it_is(name: str) -> None:
    assume(not is_statistic(name))
    assert escape(name) == name


def test_names_are_renamed_and_collisions_can_be_resolved() -> None:
    used = decoder(value=["a b", "a_b"], rename={"d.a b": "d.first"})
    assert [name for name, *_ in readings(used, b'{"a b": 1, "a_b": 2}')] == ["d.first", "d.a_b"]


def test_the_longest_glob_decides_on_a_field() -> None:
    used = decoder(value=["t1", "t2"], fields={"t*": {"unit": "Cel", "scale": 0.1}, "t2": {"unit": "K"}})
    found = {name: (value, unit) for name, value, _time, _quality, unit in readings(used, b'{"t1": 5, "t2": 5}')}
    assert found == {"d.t1": (0.5, "Cel"), "d.t2": (5, "K")}


@pytest.mark.parametrize(
    ("keys", "beginning"),
    [
        ({"topics": ["a/#"]}, "topics[0].topic: topic pattern 'a/#' has no {placeholder}"),
        ({"topics": [{"topic": "a/{b}", "format": "xml"}]}, "topics[0].format: 'xml' is not allowed, expected one of"),
        ({"topics": [{"topic": "a/{b}", "series": "{c}"}]}, "topics[0].topic: {c} is not one of {b}, "),
        ({"topics": [{"topic": "a/{b}", "series": "{b"}]}, "topics[0].series: '{b'"),
        ({"topics": [{"format": "json"}]}, "topics[0].topic: "),
        ({"topics": ["a/{b}", "a/{b}"]}, "topics[1].topic: "),
        ({"topics": ["a/{b}/{b}"]}, "topics[0].topic: "),
        ({"topics": []}, "topics: [] is not allowed"),
        ({"topics": 5}, "topics: 5 is not allowed"),
        ({"topics": [{"topic": "a/{b}", "preset": "x"}]}, "topics[0].preset: 'x' is not allowed, expected one of"),
        ({"preset": "x"}, "preset: 'x' is not allowed"),
        *(
            ({"topics": ["a/{b}"], **wrong}, f"topics[0].{next(iter(wrong))}")
            for wrong in (
                {"value": "a.**.b"},
                {"value": 5},
                {"time": "a.*"},
                {"time_zone": "Mars/Base"},
                {"fields": {"a": {"scale": "x"}}},
                {"fields": {"a": {"colour": 1}}},
                {"words": {"on": "x"}},
                {"rename": {"a": 1}},
                {"ignore": "a"},
                {"unusable_time": "guess"},
            )
        ),
    ],
)
def test_a_mapping_that_cannot_work_is_rejected_with_its_key(keys: dict[str, Any], beginning: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_bindings(keys, ["a/{b}"])
    assert caught.value.problems[0].startswith(beginning)


@pytest.mark.parametrize(
    ("text", "name"),
    [("flow:p95", "flow_3a_p95"), ("a:b:last", "a:b_3a_last"), ("flow:p99_9", "flow_3a_p99_9"), ("a:p100", "a:p100")],
)
def test_a_name_that_is_reserved_for_a_statistic_is_escaped(text: str, name: str) -> None:
    assert escape(text) == name


def test_a_unit_is_taken_from_a_path_of_the_payload_and_translated() -> None:
    used = decoder(
        value="**",
        text_values="skip",
        fields={"*temp": {"unit": "{.units.t}"}, "weight": {"unit": "kg"}},
        unit_names={"C": "Cel", "F": "degF"},
    )
    found = readings(used, b'{"in": {"temp": 20.5}, "weight": 3, "units": {"t": "C"}}')
    assert [(name, unit) for name, *_, unit in found] == [("d.in.temp", "Cel"), ("d.weight", "kg")]
    assert [unit for *_, unit in readings(used, b'{"temp": 70, "units": {"t": "F"}}')] == ["degF"]
    assert [unit for *_, unit in readings(used, b'{"temp": 70}')] == [""]
    with pytest.raises(ConfigError, match="without wildcards"):
        decoder(fields={"t": {"unit": "{.a.*}"}})


def test_a_part_of_a_name_may_be_absent_from_the_payload() -> None:
    used = decoder(value="v", series="{.model}.{.channel?}.{.id?}.{field}", time="")
    assert [name for name, *_ in readings(used, b'{"model": "m", "channel": 2, "id": 7, "v": 1}')] == ["m.2.7.v"]
    assert [name for name, *_ in readings(used, b'{"model": "m", "id": 7, "v": 1}')] == ["m.7.v"]
    assert [name for name, *_ in readings(used, b'{"model": "m", "v": 1}')] == ["m.v"]
    assert reasons(used, b'{"id": 7, "v": 1}') == ["rejected_name"]


def test_elements_of_several_paths_are_readings_with_the_first_time_that_exists() -> None:
    used = decoder(each=["now", "old.*"], value="v", time=["at", "sent"])
    payload = b'{"sent": 1699999999, "now": {"v": 3}, "old": [{"v": 1, "at": 1699999000}, {"v": 2, "at": null}]}'
    found = [(value, time) for _name, value, time, _quality, _unit in readings(used, payload)]
    assert found == [(3, 1_699_999_999_000), (1, 1_699_999_000_000), (2, 1_699_999_999_000)]


def test_names_times_and_units_are_found_in_the_objects_around_an_element() -> None:
    used = decoder(each="groups.*.values.*", value="v", series="{.name}", time="at")
    payload = (
        b'{"at": 1699999999, "groups": [{"name": "a", "unit": "bar", "values": [{"v": 1}, {"v": 2, "unit": "Pa"}]}]}'
    )
    found = [(name, value, unit) for name, value, _time, _quality, unit in readings(used, payload)]
    assert found == [("a", 1, "bar"), ("a", 2, "Pa")]


def test_payloads_of_a_skipped_topic_are_counted_only() -> None:
    used = decoder("bridge/+", skip=True)
    columns = used.decode([b"bridge/state"] * 2, [b"online", b'{"v": 1}'])
    assert (len(columns), columns.rejections, columns.skipped) == (0, [], 2)
