"""Modbus registers: types and orders, contiguous reads, and answers that are too short."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from edge_components.common.config import load
from edge_components.common.errors import ConfigError
from edge_components.sensor_reader.errors import RejectedError
from edge_components.sensor_reader.modbus_registers import Register, plan, read_registers, value_of


def register(**values: Any) -> Register:
    return load(Register, {"name": "r", **values})


def value(one: Register, *words: int) -> float:
    (request,) = plan([one], 1, 1_000)
    return value_of(one, request, words)


def words(layout: str, number: float) -> list[int]:
    content = struct.pack(layout, number)
    return [int.from_bytes(content[at : at + 2], "big") for at in range(0, len(content), 2)]


@pytest.mark.parametrize(
    ("type_", "layout", "number"),
    [
        *(("uint16", ">H", 65_535), ("int16", ">h", -2), ("uint32", ">I", 4_000_000_000), ("int32", ">i", -70_000)),
        *(("uint64", ">Q", 2**53), ("int64", ">q", -(2**40)), ("float32", ">f", 1.5), ("float64", ">d", -2.25e-3)),
    ],
)
def test_each_type_is_read_in_each_order(type_: str, layout: str, number: float) -> None:
    content = words(layout, number)
    swapped = [word >> 8 | (word & 255) << 8 for word in content]
    assert value(register(type=type_), *content) == number
    assert value(register(type=type_, word_order="little"), *reversed(content)) == number
    assert value(register(type=type_, byte_order="little"), *swapped) == number
    assert value(register(type=type_, byte_order="little", word_order="little"), *reversed(swapped)) == number


def test_bits_decimals_and_scales() -> None:
    assert [value(register(type="bit", bit=bit), 0b100) for bit in (1, 2)] == [0, 1]
    assert value(register(type="bcd32"), 0x1234, 0x5678) == 12_345_678
    assert value(register(type="int16", scale=0.1, offset=-40), 605) == pytest.approx(20.5)
    assert value(register(table="coil"), True) == 1
    with pytest.raises(RejectedError, match="not a binary-coded decimal"):
        value(register(type="bcd16"), 0x1A34)


def test_contiguous_registers_are_read_in_one_request_and_others_are_not() -> None:
    registers = read_registers(
        [
            {"name": "a", "address": 10, "type": "float32"},
            {"name": "b", "address": 12},
            {"name": "b-bit", "address": 12, "type": "bit", "bit": 3},
            {"name": "c", "address": 14},
            {"name": "d", "address": 13, "table": "input"},
            {"name": "e", "address": 15, "interval_ms": 5_000},
            {"name": "f", "address": 16, "unit_id": 9},
        ]
    )
    found = {(one.unit_id, one.table, one.address, one.count, one.interval_ms) for one in plan(registers, 1, 1_000)}
    assert found == {
        (1, "holding", 10, 3, 1_000),
        (1, "holding", 14, 1, 1_000),
        (1, "input", 13, 1, 1_000),
        (1, "holding", 15, 1, 5_000),
        (9, "holding", 16, 1, 1_000),
    }


def test_a_request_reads_no_more_than_the_protocol_allows() -> None:
    registers = [register(name=f"r{at}", address=2 * at, type="float32") for at in range(200)]
    requests = plan(registers, 1, 1_000)
    assert all(one.count <= 125 for one in requests)
    assert sum(len(one.registers) for one in requests) == 200


def test_an_answer_that_is_too_short_is_rejected() -> None:
    with pytest.raises(RejectedError, match="1 values in the answer, expected 2"):
        value(register(type="uint32"), 1)


@pytest.mark.parametrize(
    ("values", "beginning"),
    [
        ({"type": "string"}, "registers[0].type: 'string' is not allowed, expected one of uint16"),
        ({"address": 70_000}, "registers[0].address: 70000 is not allowed"),
        ({"address": 65_535, "type": "uint32"}, "registers[0].address: 65535 is not allowed, it ends beyond 65535"),
        ({"name": ""}, "registers[0].name: "),
        ({"adress": 1}, "registers[0].adress: unknown key, did you mean address?"),
    ],
)
def test_a_register_that_cannot_be_read_is_rejected_with_its_key(values: dict[str, Any], beginning: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_registers([{"name": "r", **values}])
    assert caught.value.problems[0].startswith(beginning)
