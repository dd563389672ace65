"""Each payload format gives names, values, times, qualities and units, and rejects what it cannot parse."""

from __future__ import annotations

import json
import struct
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_components.common.errors import ConfigError
from edge_components.sensor_reader.cbor import decode as decode_cbor
from edge_components.sensor_reader.errors import RejectedError
from edge_components.sensor_reader.formats import Columns
from edge_components.sensor_reader.mapping.settings import MappingSettings, format_kind, format_names
from tests.unit.sensor_reader.decoding import ARRIVAL_MS, decoder, readings, reasons

T0 = 1_699_999_990_000


def values(found: list[tuple[str, float, int, int, str]]) -> dict[str, float]:
    return {name: value for name, value, *_ in found}


def dumps(body: Any) -> bytes:
    return json.dumps(body).encode()


def test_json_gives_a_series_for_each_path_with_one_time_and_quality() -> None:
    used = decoder(value=["temperature", "power.*"], time="ts", quality="q", unit="u")
    body = {"temperature": 21.5, "power": {"a": 1, "b": 2}, "ts": T0, "q": 1, "u": "Cel", "other": 9}
    assert readings(used, dumps(body)) == [
        ("d.temperature", 21.5, T0, 1, "Cel"),
        ("d.power.a", 1, T0, 1, "Cel"),
        ("d.power.b", 2, T0, 1, "Cel"),
    ]


def test_json_reads_arrays_of_readings_named_by_a_field_a_topic_level_and_a_constant() -> None:
    used = decoder(each="data.*", value="v", time="t", series="plant.{device}.{.id}")
    body = {"t": T0, "data": [{"id": "a", "v": 1}, {"id": "b", "v": 2, "t": T0 + 5}]}
    assert readings(used, dumps(body)) == [("plant.d.a", 1, T0, 0, ""), ("plant.d.b", 2, T0 + 5, 0, "")]


def test_json_names_by_the_key_that_a_wildcard_matched() -> None:
    used = decoder(each="*", value="value", series="{device}.{each}")
    assert values(readings(used, dumps({"flow": {"value": 1}, "level": {"value": 2}}))) == {"d.flow": 1, "d.level": 2}


def test_json_names_a_single_value_by_its_field_where_the_name_has_one() -> None:
    used = decoder(value="v.x", series="{device}/{field}", fields={"v.x": {"unit": "kg"}})
    assert readings(used, dumps({"v": {"x": 1.5}, "time": T0})) == [("d/v.x", 1.5, T0, 0, "kg")]


def test_json_paths_escape_dots_and_stars() -> None:
    used = decoder(value=[r"a\.b", r"\*"], fields={r"[*]": {"name": "star"}})
    assert values(readings(used, dumps({"a.b": 1, "*": 2}))) == {"d.a.b": 1, "d.star": 2}


def test_json_reads_every_leaf_that_is_a_number_a_boolean_or_a_known_word() -> None:
    used = decoder(value="**", words={"on": 1}, ignore=["*_id"], time="at")
    body = {"x": {"y": [1.5, True]}, "state": "ON", "name": "pump", "dev_id": 7, "serial": "123", "t": "2.5", "at": T0}
    assert values(readings(used, dumps(body))) == {"d.x.y.0": 1.5, "d.x.y.1": 1, "d.state": 1, "d.t": 2.5}


def test_one_bad_field_does_not_take_the_others_with_it() -> None:
    used = decoder(value=["a", "b", "c"])
    payload = b'{"a": 1, "b": "warm", "c": NaN, "d": null}'
    assert values(readings(used, payload)) == {"d.a": 1}
    assert reasons(used, payload) == ["rejected_value", "rejected_not_finite"]


def test_one_bad_payload_does_not_take_the_others_with_it() -> None:
    used = decoder(value=["a", "b"])
    columns = used.decode([b"t/1", b"t/2", b"t/3"], [b'{"a": 1}', b"[1", b'{"b": 2}'])
    assert (columns.payloads, columns.fields, columns.values) == ([0, 2], ["a", "b"], [1, 2])
    assert [(index, error.reason) for index, error in columns.rejections] == [(1, "rejected_json")]


@pytest.mark.parametrize(
    ("keys", "payload", "reason"),
    [
        ({"value": ["a", "b"]}, b'{"c": 1}', "rejected_value"),
        ({"value": ["a", "b"]}, b"{}", "payloads_empty"),
        ({"value": ["a", "b"]}, b"", "payloads_empty"),
        ({"each": "x.*", "value": "v"}, b'{"x": 5}', "rejected_value"),
        ({"value": "v", "series": "{.id}"}, b'{"v": 1}', "rejected_name"),
        ({"format": "plain"}, b"warm", "rejected_value"),
        ({"format": "plain"}, b"\xff\xfe", "rejected_text"),
        ({"format": "plain", "columns": ["a", "b"]}, b"1 2 3", "rejected_value"),
        ({"format": "raw", "layout": "<h"}, b"\0", "rejected_layout"),
        ({"format": "csv"}, b"a;b", "rejected_csv"),
        ({"format": "csv", "columns": ["a", "b"]}, b"1;2;3", "rejected_csv"),
        ({"format": "influx"}, b"pump", "rejected_influx"),
        ({"format": "influx"}, b"pump temp=1 noon", "rejected_influx"),
        ({"format": "senml+json"}, b'{"n": "a", "v": 1}', "rejected_senml"),
        ({"format": "senml+json"}, b'[{"v": 1}]', "rejected_senml"),
        ({"format": "senml+json"}, b'[{"n": "a", "v": 1, "x_": 1}]', "rejected_senml"),
        ({"format": "senml+cbor"}, b"\x9f\x9f", "rejected_cbor"),
        ({"format": "ruuvi"}, b'{"data": "zz"}', "rejected_ruuvi"),
    ],
)
def test_a_payload_that_cannot_be_parsed_is_rejected_with_its_reason(
    keys: dict[str, Any], payload: bytes, reason: str
) -> None:
    assert reasons(decoder(**keys), payload) == [reason]


def test_senml_resolves_base_fields_and_relative_times() -> None:
    pack = [
        {"bn": "urn:dev:1:", "bt": 1_699_999_990, "bu": "Cel", "n": "t", "v": 20.5},
        {"n": "t", "t": 5, "v": 21},
        {"n": "h", "u": "%RH", "t": -5.5, "v": 40},
        {"n": "open", "vb": True},
        {"bn": "abs:", "bt": 0, "n": "now", "v": 1},
        {"n": "before", "t": -10, "v": 2},
    ]
    expected = [
        ("urn:dev:1:t", 20.5, T0, 0, "Cel"),
        ("urn:dev:1:t", 21, T0 + 5_000, 0, "Cel"),
        ("urn:dev:1:h", 40, T0 - 5_500, 0, "%RH"),
        ("urn:dev:1:open", 1, T0, 0, "Cel"),
        ("abs:now", 1, ARRIVAL_MS, 0, "Cel"),
        ("abs:before", 2, ARRIVAL_MS - 10_000, 0, "Cel"),
    ]
    plain = decoder("senml/#", format="senml+json")
    assert readings(plain, dumps(pack), "senml/x") == expected
    labels = {"bn": -2, "bt": -3, "bu": -4, "n": 0, "u": 1, "v": 2, "vb": 4, "t": 6}
    binary = cbor2.dumps([{labels[key]: value for key, value in record.items()} for record in pack])
    assert readings(decoder("senml/#", format="senml+cbor"), binary, "senml/x") == expected


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers(-9, 9) | st.text(max_size=5), inner),
        max_leaves=9,
    )
)
def test_cbor_of_another_encoder_is_decoded(body: Any) -> None:
    assert decode_cbor(cbor2.dumps(body)) == body


@given(st.binary(max_size=60))
def test_any_bytes_are_cbor_or_rejected(data: bytes) -> None:
    try:
        decode_cbor(data)
    except RejectedError as error:
        assert error.reason == "rejected_cbor"  # noqa: PT017 # what is caught is the point


@pytest.mark.parametrize("data", [b"\x9f" * 10_000, b"\x81" * 10_000, b"\xbb" + b"\xff" * 8, b"\x5b" + b"\xff" * 8])
def test_a_cbor_bomb_is_rejected_within_limits(data: bytes) -> None:
    with pytest.raises(RejectedError):
        decode_cbor(data)


def test_influx_lines_give_a_series_for_each_numeric_field() -> None:
    lines = (
        'weather,place=north\\ hall,board=b1 temp=21.5,count=3i,ok=t,note="a, b=c" 1699999990000000000\n'
        "weather,place=south temp=19 1699999990000000000\nbroken\n"
    )
    used = decoder("influx/#", format="influx")
    assert readings(used, lines.encode(), "influx/x") == [
        ("weather.b1.north_hall.temp", 21.5, T0, 0, ""),
        ("weather.b1.north_hall.count", 3, T0, 0, ""),
        ("weather.b1.north_hall.ok", 1, T0, 0, ""),
        ("weather.south.temp", 19, T0, 0, ""),
    ]
    assert reasons(used, lines.encode(), "influx/x") == ["rejected_influx"]


def test_csv_has_its_names_in_a_header_or_in_the_configuration() -> None:
    table = b"time;temp;state;note\n2023-11-14T22:13:10Z;21,5;1;ok\n2023-11-14T22:13:11Z;;0;ok\n"
    found = readings(decoder(format="csv", decimal_comma=True), table)
    assert found == [("d.temp", 21.5, T0, 0, ""), ("d.state", 1, T0, 0, ""), ("d.state", 0, T0 + 1_000, 0, "")]
    assert values(readings(decoder(format="csv", columns=["a", "", "b"]), b"1,2,3\n")) == {"d.a": 1, "d.b": 3}


def test_plain_text_has_one_value_or_several() -> None:
    assert readings(decoder(format="plain"), b" 21.5 Cel\r\n\0") == [("d", 21.5, ARRIVAL_MS, 0, "Cel")]
    assert values(readings(decoder(format="plain", columns=["a", "b"]), b"1.5; 2")) == {"d.a": 1.5, "d.b": 2}


def test_raw_bytes_have_a_layout() -> None:
    used = decoder(format="raw", layout="<hHx?", columns=["t", "h", "on"], fields={"t": {"scale": 0.1}})
    assert values(readings(used, struct.pack("<hHx?", -55, 400, True))) == {"d.t": -5.5, "d.h": 400, "d.on": 1}


@pytest.mark.parametrize(
    "keys", [{"layout": "4s"}, {"layout": "hh", "columns": ["a"]}, {"layout": "xx"}, {"layout": "99999999d"}]
)
def test_a_layout_that_cannot_work_is_not_a_configuration(keys: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        decoder(format="raw", **keys)


@pytest.mark.parametrize("name", format_names())
@given(payload=st.binary(max_size=80))
def test_any_bytes_are_measurements_or_rejections(name: str, payload: bytes) -> None:
    columns = Columns()
    parser = format_kind(name).open(MappingSettings(format=name))
    parser.parse_all([b"spBv1.0/g/NDATA/n"], [payload], columns)
    assert all(error.reason.startswith(("rejected_", "payloads_empty")) for _index, error in columns.rejections)
