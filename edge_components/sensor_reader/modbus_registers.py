"""Modbus registers: their configuration, the requests that read them, and their values. Pure."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge_components.common.config import integer, load, number, objects, read_list, text
from edge_components.common.errors import ConfigError
from edge_components.sensor_reader.errors import RejectedError

MAX_REGISTERS, MAX_BITS = 125, 2_000
"""The most that one request may read."""
_BIT_TABLES = ("coil", "discrete")
_FORMATS = {
    "uint16": "H",
    "int16": "h",
    "uint32": "I",
    "int32": "i",
    "uint64": "Q",
    "int64": "q",
    "float32": "f",
    "float64": "d",
}
_BCD = {"bcd16": 1, "bcd32": 2}
TYPES = (*_FORMATS, *_BCD, "bit")


@dataclass(frozen=True, slots=True)
class Register:
    """One measured value of a device. Text is not a measurement and has no type here."""

    name: str = text("", "name of the series behind the entry's prefix", pattern=r".{1,100}", allowed="text")
    address: int = integer(0, 0, 65_535, "address, counted from 0")
    table: str = text("holding", "where the value is", choices=("holding", "input", "coil", "discrete"))
    type: str = text("uint16", "type of a register's value", choices=TYPES)
    word_order: str = text(
        "big", "order of the registers of a value: the high one first, or last", choices=("big", "little")
    )
    byte_order: str = text("big", "order of the bytes in a register", choices=("big", "little"))
    bit: int = integer(0, 0, 15, "type bit: which bit of the register, 0 is the lowest")
    scale: float = number(1.0, -1e12, 1e12, "factor to the unit")
    offset: float = number(0.0, -1e12, 1e12, "added after the factor")
    unit: str = text("", "unit of the value", pattern=r"[^\x00-\x1f]{0,16}", allowed="text of at most 16 characters")
    unit_id: int = integer(0, 0, 247, "address of the device on the bus; 0 is that of the entry")
    interval_ms: int = integer(0, 0, 86_400_000, "milliseconds between two readings; 0 is the interval of the entry")

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError(["name: '' is not allowed, expected text"])
        if self.address + self.size > 65_536:
            raise ConfigError([f"address: {self.address} is not allowed, it ends beyond 65535"])

    @property
    def size(self) -> int:
        """The number of registers or bits that the value takes."""
        if self.table in _BIT_TABLES or self.type == "bit":
            return 1
        return _BCD[self.type] if self.type in _BCD else struct.calcsize(_FORMATS[self.type]) // 2

    @property
    def of_bits(self) -> bool:
        """True where the value is in a table of bits."""
        return self.table in _BIT_TABLES


@dataclass(frozen=True, slots=True)
class Request:
    """A contiguous range of one table of one device, and the registers in it."""

    unit_id: int
    table: str
    address: int
    count: int
    interval_ms: int
    registers: tuple[Register, ...]


REGISTERS = 'a list of objects {"name": ..., "address": ..., and keys of a register}'


def read_registers(value: Any) -> tuple[Register, ...]:
    """Return the registers; raises ValueError for another shape, and ConfigError with a sentence for each bad key."""
    items = objects(value, REGISTERS)
    return read_list("registers", items, lambda one: load(Register, one), lambda register: register.name)


def plan(registers: Sequence[Register], unit_id: int, interval_ms: int) -> list[Request]:
    """Return the requests that read all registers: contiguous ones of one device, table and interval at once."""
    groups: dict[tuple[int, str, int], list[Register]] = {}
    for register in registers:
        key = (register.unit_id or unit_id, register.table, register.interval_ms or interval_ms)
        groups.setdefault(key, []).append(register)
    requests = []
    for (device, table, every_ms), members in groups.items():
        most = MAX_BITS if table in _BIT_TABLES else MAX_REGISTERS
        run: list[Register] = []
        for register in sorted(members, key=lambda one: (one.address, one.size)):
            end = max((one.address + one.size for one in run), default=register.address)
            if run and (register.address > end or register.address + register.size - run[0].address > most):
                requests.append(_request(device, table, every_ms, run))
                run = []
            run.append(register)
        requests.append(_request(device, table, every_ms, run))
    return requests


def _request(unit_id: int, table: str, interval_ms: int, run: list[Register]) -> Request:
    first = run[0].address
    count = max(one.address + one.size for one in run) - first
    return Request(unit_id, table, first, count, interval_ms, tuple(run))


def value_of(register: Register, request: Request, words: Sequence[int | bool]) -> float:
    """Return a register's value from the answer to its request; raises RejectedError where the answer is too short."""
    at = register.address - request.address
    own = words[at : at + register.size]
    if len(own) < register.size:
        raise RejectedError("rejected_modbus", f"{len(words)} values in the answer, expected {request.count}")
    if register.of_bits:
        return float(bool(own[0]))
    numbers = [int(word) & 0xFFFF for word in own]
    if register.byte_order == "little":
        numbers = [word >> 8 | (word & 0xFF) << 8 for word in numbers]
    if register.type == "bit":
        return float(numbers[0] >> register.bit & 1)
    if register.word_order == "little":
        numbers.reverse()
    content = b"".join(word.to_bytes(2, "big") for word in numbers)
    if register.type in _BCD:
        digits = content.hex()
        if not digits.isdecimal():
            raise RejectedError("rejected_modbus", f"0x{digits} is not a binary-coded decimal")
        raw = float(digits)
    else:
        raw = float(struct.unpack(f">{_FORMATS[register.type]}", content)[0])
    return raw * register.scale + register.offset
