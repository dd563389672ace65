"""Readings from Modbus devices: TCP, RTU on a serial line, RTU over TCP, through pymodbus.

After an exception of a device the last value is repeated with quality bad; after a timeout there is no reading.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge_components.common.config import absolute_path, integer, mapping, text
from edge_components.common.errors import ConfigError
from edge_components.sensor_reader.errors import MissingPackageError, RejectedError, SourceError
from edge_components.sensor_reader.modbus_registers import (
    REGISTERS,
    Register,
    Request,
    plan,
    read_registers,
    value_of,
)
from edge_components.sensor_reader.source_thread import Outlet, Sample, ThreadSource, interval
from edge_components.sensor_reader.sources import Context, Kind, Level
from wire.model import Quality

FAILURES_TO_RECONNECT = 3
"""Number of consecutive requests without an answer after which the worker reconnects."""


@dataclass(frozen=True, slots=True)
class ModbusSettings:
    """One connection to one device or bus."""

    transport: str = text("tcp", "protocol", choices=("tcp", "rtu", "rtu_over_tcp"))
    host: str = text("", "name or address of the device, for tcp and rtu_over_tcp", pattern=r"[A-Za-z0-9._:\-]{0,253}")
    port: int = integer(502, 1, 65_535, "port of the device")
    device: str = absolute_path("serial line for rtu")
    baudrate: int = integer(9_600, 300, 4_000_000, "bits a second of the serial line")
    parity: str = text("N", "parity of the serial line: none, even, odd", choices=("N", "E", "O"))
    stopbits: int = integer(1, 1, 2, "stop bits of the serial line")
    unit_id: int = integer(1, 1, 247, "address of the device on the bus")
    timeout_ms: int = integer(1_000, 50, 60_000, "milliseconds to wait for an answer")
    interval_ms: int = integer(1_000, 20, 86_400_000, "milliseconds between two readings")
    prefix: str = text("", "first part of the names of the series; empty is the entry's name")
    registers: tuple[Register, ...] = mapping(
        [], read_registers, REGISTERS, "the values to read; the table below has their keys"
    )

    def __post_init__(self) -> None:
        problems = []
        if self.transport == "rtu" and not self.device:
            problems.append("device: '' is not allowed, expected the serial line")
        if self.transport != "rtu" and not self.host:
            problems.append("host: '' is not allowed, expected a name or address")
        if not self.registers:
            problems.append("registers: [] is not allowed, expected one register or more")
        if problems:
            raise ConfigError(problems)


class ModbusWorker:
    """Reads the registers of one connection; see edge_components.sensor_reader.source_thread.Worker."""

    def __init__(self, settings: ModbusSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._prefix = settings.prefix or context.name
        self._last: dict[str, float] = {}
        self._failures = 0

    def work(self, outlet: Outlet) -> None:
        """Read registers at their intervals until stopped; raises SourceError if the device is not reachable."""
        settings, clock = self._settings, self._context.clock
        client = _client(settings)
        try:
            if not client.connect():
                raise SourceError(f"{_address(settings)} cannot be reached")
            requests = plan(settings.registers, settings.unit_id, settings.interval_ms)
            due = {request: clock.monotonic() for request in requests}
            while not outlet.stopping:
                for request in requests:
                    now = clock.monotonic()
                    if due[request] > now or outlet.stopping:
                        continue
                    due[request] = interval(due[request], now, request.interval_ms / 1000)
                    self._read(client, request, outlet)
                if outlet.wait(max(0.0, min(due.values()) - clock.monotonic())):
                    return
        finally:
            client.close()

    def _read(self, client: Any, request: Request, outlet: Outlet) -> None:
        from pymodbus.exceptions import ModbusException

        key = f"{request.table} {request.address}"
        try:
            answer = _ask(client, request)
        except (ModbusException, OSError, ValueError) as error:
            self._failures += 1
            outlet.reject("modbus_timeouts", f"{key}: {error}", key=key)
            if self._failures >= FAILURES_TO_RECONNECT:
                raise SourceError(f"{_address(self._settings)} does not answer: {error}") from error
            return
        self._failures = 0
        outlet.works()
        if answer.isError():
            outlet.reject("modbus_exceptions", f"{key}: {answer}", key=key)
            names = [register.name for register in request.registers if register.name in self._last]
            outlet.put([self._sample(request, name, self._last[name], Quality.BAD) for name in names])
            return
        words: Sequence[int | bool] = answer.bits if request.table in ("coil", "discrete") else answer.registers
        samples = []
        for register in request.registers:
            try:
                value = value_of(register, request, words)
            except RejectedError as error:
                outlet.reject(error.reason, f"{register.name}: {error}", key=register.name)
                continue
            self._last[register.name] = value
            samples.append(self._sample(request, register.name, value, Quality.GOOD))
        outlet.put(samples)

    def _sample(self, request: Request, name: str, value: float, quality: int) -> Sample:
        unit = next(register.unit for register in request.registers if register.name == name)
        return Sample(f"{self._prefix}.{name}", value, None, quality, unit)


def _ask(client: Any, request: Request) -> Any:
    read = {
        "holding": client.read_holding_registers,
        "input": client.read_input_registers,
        "coil": client.read_coils,
        "discrete": client.read_discrete_inputs,
    }[request.table]
    return read(request.address, count=request.count, device_id=request.unit_id)


def _client(settings: ModbusSettings) -> Any:
    """Return a client that is not connected yet; raises SourceError where pymodbus is not installed."""
    try:
        from pymodbus import FramerType
        from pymodbus.client import ModbusSerialClient, ModbusTcpClient
    except ImportError as error:
        raise MissingPackageError("pymodbus", "modbus", error) from error
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # its failures are logged here, at a limited rate
    timeout = settings.timeout_ms / 1000
    if settings.transport == "rtu":
        return ModbusSerialClient(
            settings.device,
            baudrate=settings.baudrate,
            parity=settings.parity,
            stopbits=settings.stopbits,
            timeout=timeout,
            retries=0,
        )
    framer = FramerType.RTU if settings.transport == "rtu_over_tcp" else FramerType.SOCKET
    return ModbusTcpClient(settings.host, port=settings.port, framer=framer, timeout=timeout, retries=0)


def _address(settings: ModbusSettings) -> str:
    return settings.device if settings.transport == "rtu" else f"{settings.host}:{settings.port}"


def open_modbus(settings: ModbusSettings, context: Context) -> ThreadSource:
    """Return the source of one connection."""
    hang_s = 60.0 + 5 * settings.timeout_ms / 1000 + settings.interval_ms / 1000
    worker = ModbusWorker(settings, context)
    return ThreadSource(context, lambda: worker, hang_s=hang_s)


def _line(settings: ModbusSettings) -> str | None:
    return f"the serial line {settings.device}" if settings.transport == "rtu" else None


KIND = Kind(
    ModbusSettings,
    open_modbus,
    claims=_line,
    level=Level.SILVER,
    inapplicable={"times": "the protocol has no timestamps"},
)
