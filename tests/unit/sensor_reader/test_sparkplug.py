"""Sparkplug B: births define the aliases of data, deaths set quality bad, and gaps cause a rebirth request."""

from __future__ import annotations

import pytest

from edge_components.sensor_reader.mapping.decoder import Decoder
from edge_components.sensor_reader.sparkplug import decode
from tests.unit.sensor_reader.decoding import ARRIVAL_MS, decoder, read
from tests.unit.sensor_reader.sparkplug_messages import BOOLEAN, INT8, INT32, INT64, TEXT, message, metric
from wire.model import Quality

T0 = 1_699_999_990_000
GOOD, BAD = Quality.GOOD, Quality.BAD


@pytest.fixture
def used() -> Decoder:
    made = decoder("spBv1.0/#", preset="sparkplug")
    take(made, "NBIRTH/n", BIRTH)
    return made


BIRTH = message(
    metric("bdSeq", 7, INT64),
    metric("Node Control/Rebirth", False, BOOLEAN),
    metric("temp", 20.5, alias=1, properties={"engUnit": "Cel"}),
    metric("level", -3, INT8, alias=2),
    metric("serial", "A-1", TEXT),
    metric("Properties/Uptime", 5, INT32),
    sequence=0,
)


def take(used: Decoder, topic: str, payload: bytes) -> tuple[list[tuple[str, float, int, int, str]], list[str]]:
    full = f"spBv1.0/plant/{topic}"
    columns = used.decode([full.encode()], [payload])
    return read(used, columns, full), [error.reason for _index, error in columns.rejections]


def replies(used: Decoder, topic: str, payload: bytes) -> list[str]:
    columns = used.decode([f"spBv1.0/plant/{topic}".encode()], [payload])
    return [topic for topic, _payload in columns.replies]


def test_a_birth_gives_values_units_and_neither_controls_counters_nor_texts() -> None:
    found, rejected = take(decoder("spBv1.0/#", preset="sparkplug"), "NBIRTH/n", BIRTH)
    assert found == [("plant.n.temp", 20.5, T0, GOOD, "Cel"), ("plant.n.level", -3, T0, GOOD, "")]
    assert rejected == []


def test_data_refer_to_metrics_by_alias_with_times_of_their_own(used: Decoder) -> None:
    data = message(metric(value=21.5, alias=1, time=T0 + 5), metric(value=-128, datatype=INT8, alias=2), sequence=1)
    found, _ = take(used, "NDATA/n", data)
    assert found == [("plant.n.temp", 21.5, T0 + 5, GOOD, "Cel"), ("plant.n.level", -128, T0, GOOD, "")]


def test_devices_have_their_own_metrics(used: Decoder) -> None:
    take(used, "DBIRTH/n/pump", message(metric("temp", 1.5, alias=9), sequence=1))
    found, _ = take(used, "DDATA/n/pump", message(metric(value=2.5, alias=9), sequence=2))
    assert found == [("plant.n.pump.temp", 2.5, T0, GOOD, "")]


def test_a_death_gives_the_last_values_with_quality_bad_once(used: Decoder) -> None:
    take(used, "DBIRTH/n/pump", message(metric("run", True, BOOLEAN), sequence=1))
    found, _ = take(used, "DDEATH/n/pump", message(sequence=2, time=T0 + 7))
    assert found == [("plant.n.pump.run", 1, T0 + 7, BAD, "")]
    found, _ = take(used, "NDEATH/n", message(metric("bdSeq", 7, INT64), time=None))
    assert found == [("plant.n.temp", 20.5, ARRIVAL_MS, BAD, "Cel"), ("plant.n.level", -3, ARRIVAL_MS, BAD, "")]
    assert take(used, "NDEATH/n", message(metric("bdSeq", 7, INT64), time=None)) == ([], [])


def test_the_late_death_of_an_earlier_session_is_ignored(used: Decoder) -> None:
    assert take(used, "NDEATH/n", message(metric("bdSeq", 6, INT64))) == ([], [])


def test_a_gap_in_the_sequence_requests_one_rebirth(used: Decoder) -> None:
    assert replies(used, "NDATA/n", message(metric(value=1.0, alias=1), sequence=1)) == []
    assert replies(used, "NDATA/n", message(metric(value=1.0, alias=1), sequence=3)) == ["spBv1.0/plant/NCMD/n"]
    assert replies(used, "NDATA/n", message(metric(value=1.0, alias=1), sequence=5)) == []
    assert replies(used, "NBIRTH/n", BIRTH) == []
    assert replies(used, "NDATA/n", message(metric(value=1.0, alias=1), sequence=9)) == ["spBv1.0/plant/NCMD/n"]


def test_the_death_of_a_device_has_a_sequence_number_and_that_of_a_node_none(used: Decoder) -> None:
    assert replies(used, "DBIRTH/n/pump", message(metric("temp", 1.5, alias=9), sequence=1)) == []
    assert replies(used, "DDEATH/n/pump", message(sequence=2)) == []
    assert replies(used, "NDATA/n", message(metric(value=1.0, alias=1), sequence=3)) == []
    assert replies(used, "DDEATH/n/pump", message(sequence=5)) == ["spBv1.0/plant/NCMD/n"]


def test_births_data_and_deaths_of_a_metric_have_one_origin(used: Decoder) -> None:
    field = "plant.n.temp"
    assert used.address("spBv1.0/plant/NBIRTH/n", field) == used.address("spBv1.0/plant/NDATA/n", field) == field


def test_the_sequence_begins_again_after_255(used: Decoder) -> None:
    for sequence in (*range(1, 256), 0, 1):
        assert replies(used, "NDATA/n", message(metric(value=1.0, alias=1), sequence=sequence)) == []


def test_data_without_a_birth_are_rejected_by_alias_and_read_by_name() -> None:
    used = decoder("spBv1.0/#", preset="sparkplug")
    payload = message(metric("temp", 1.5), metric(value=2.0, alias=4), sequence=4)
    found, rejected = take(used, "NDATA/late", payload)
    assert (found, rejected) == ([("plant.late.temp", 1.5, T0, GOOD, "")], ["rejected_alias"])
    used = decoder("spBv1.0/#", preset="sparkplug")
    columns = used.decode([b"spBv1.0/plant/NDATA/late"], [payload])
    ((topic, command),) = columns.replies
    assert topic == "spBv1.0/plant/NCMD/late"
    (asked,) = decode(command).metrics
    assert (asked.name, asked.value) == ("Node Control/Rebirth", True)


def test_history_is_read_with_its_time_and_does_not_count_as_the_last_value(used: Decoder) -> None:
    old = message(metric(value=1.0, alias=1, time=T0 - 10**7, historical=True), sequence=1)
    found, _ = take(used, "NDATA/n", old)
    assert found == [("plant.n.temp", 1.0, T0 - 10**7, GOOD, "Cel")]
    found, _ = take(used, "NDEATH/n", message(metric("bdSeq", 7, INT64)))
    assert found[0][1] == 20.5


def test_null_is_rejected_as_such_and_qualities_are_read(used: Decoder) -> None:
    payload = message(
        metric(alias=1, null=True), metric(value=5, datatype=INT8, alias=2, properties={"Quality": 500}), sequence=1
    )
    found, rejected = take(used, "NDATA/n", payload)
    assert (found, rejected) == ([("plant.n.level", 5, T0, BAD, "")], ["rejected_null"])


@pytest.mark.parametrize("payload", [b"\x12\x7f", b"\xff" * 11, b"\x0b", b"\x12\x03\x69\x00\x00"])
def test_malformed_messages_are_rejected(used: Decoder, payload: bytes) -> None:
    assert take(used, "NDATA/n", payload) == ([], ["rejected_sparkplug"])


def test_states_and_commands_are_not_measurements(used: Decoder) -> None:
    assert take(used, "NCMD/n", b"junk") == ([], [])


OTHER_ENCODER = {
    "NBIRTH": (
        "0880d095ffbc3112120a0562645365711880d095ffbc312004580012180a0474656d701880d095ffbc31200a690000000000"
        "80354012140a04666c6f771880d095ffbc312009650000204012100a0269381880d095ffbc31200150fb0112120a03693136"
        "1880d095ffbc31200250d4fd0312140a036933321880d095ffbc3120035090ddfbff0f12190a036936341880d095ffbc3120"
        "0458809ce8afedffffffff0112100a0275381880d095ffbc31200550c80112120a037531361880d095ffbc31200650e0d403"
        "12140a037533321880d095ffbc3120075080d0acf30e12140a037536341880d095ffbc3120085880e497d012120f0a026f6e"
        "1880d095ffbc31200b700112150a046e616d651880d095ffbc31200c7a0470756d7012110a04766f69641880d095ffbc3120"
        "0a38011800"
    ),
    "NDATA with types": (
        "08e8d795ffbc3112180a0474656d701880d095ffbc31200a69000000000080364012120a036931361880d095ffbc31200250d3fd031801"
    ),
    "NDATA without types": (
        "08d0df95ffbc3112160a0474656d701880d095ffbc3169000000000080374012100a036931361880d095ffbc3150d2fd031802"
    ),
}
"""Messages that pysparkplug 0.6.1 encoded, as hexadecimal text: the values below, in metrics without aliases."""

OTHER_VALUES = {
    "temp": 21.5,
    "flow": 2.5,
    "i8": -5,
    "i16": -300,
    "i32": -70_000,
    "i64": -5_000_000_000,
    "u8": 200,
    "u16": 60_000,
    "u32": 4_000_000_000,
    "u64": 5_000_000_000,
    "on": 1,
}


def test_messages_of_another_encoder_are_read_in_every_numeric_type() -> None:
    made, at = decoder("spBv1.0/#", preset="sparkplug"), 1_700_000_000_000
    found, rejected = take(made, "NBIRTH/n", bytes.fromhex(OTHER_ENCODER["NBIRTH"]))
    assert found == [(f"plant.n.{name}", value, at, GOOD, "") for name, value in OTHER_VALUES.items()]
    assert rejected == ["rejected_null"]
    for kind, temp, level in (("with", 22.5, -301), ("without", 23.5, -302)):
        found, rejected = take(made, "NDATA/n", bytes.fromhex(OTHER_ENCODER[f"NDATA {kind} types"]))
        assert found == [("plant.n.temp", temp, at, GOOD, ""), ("plant.n.i16", level, at, GOOD, "")]
        assert rejected == []
