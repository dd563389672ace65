"""A simulated machine that is polled over Modbus TCP: one input register for each channel, through pymodbus.

The registers are not contiguous, so each channel is read by a request of its own and can fail alone. Before the first
measurement the device answers that it is busy; for a sensor that gives no reading, with a device failure.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from device_sim.errors import DeviceError
from device_sim.simulation.event_loop import EventLoopThread
from device_sim.simulation.sensor_broker import HOST, free_port
from device_sim.simulation.service_log import ServiceLog
from device_sim.simulation.signals import Channel, Machine, machine_series
from edge_components.common.ports import Clock
from wire.model import FloatArray

UNIT_ID = 1
SPACING = 2
"""Distance between the registers of two channels."""

_SECONDS = 60.0
"""Time for the server to start or stop; a busy machine needs more than a few seconds."""


class ModbusDevice:
    """See :class:`device_sim.simulation.devices.Device`; a context manager. Raises DeviceError."""

    protocol = "Modbus TCP"

    def __init__(self, machine: Machine, loop: EventLoopThread, clock: Clock, poll_ms: int = 200) -> None:
        self.machine, self._channels = machine.name, machine.channels
        self.log = ServiceLog(machine_series(machine), stamped=False)
        self._loop, self._clock, self._poll_ms = loop, clock, poll_ms
        self._port = free_port()
        self._server: Any = None
        self._polled = threading.Event()
        self._values: tuple[int | None, ...] | None = None
        """The registers, None for a sensor that gives no reading; None before the first measurement."""
        self._served: list[float | None] = [None] * len(self._channels)
        """The values that the sensor reader has received last."""

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_listening()

    @property
    def address(self) -> str:
        """See :class:`device_sim.simulation.devices.Device`."""
        return f"{HOST}:{self._port}"

    @property
    def source(self) -> Mapping[str, Any]:
        """See :class:`device_sim.simulation.devices.Device`."""
        registers = [
            {
                "name": channel.name,
                "table": "input",
                "address": SPACING * row,
                "type": "int16" if _signed(channel) else "uint16",
                "scale": channel.resolution,
                "unit": channel.unit,
            }
            for row, channel in enumerate(self._channels)
        ]
        return {
            "name": self.machine,
            "kind": "modbus",
            "host": HOST,
            "port": self._port,
            "unit_id": UNIT_ID,
            "interval_ms": self._poll_ms,
            "timeout_ms": 10_000,
            "registers": registers,
        }

    def connected(self) -> bool:
        """See :class:`device_sim.simulation.devices.Device`."""
        return self._polled.is_set()

    def measure(self, values: FloatArray, time_ms: int) -> None:
        """See :class:`device_sim.simulation.devices.Device`."""
        self._values = tuple(
            None if np.isnan(value) else _register(channel, float(value))
            for channel, value in zip(self._channels, values, strict=True)
        )
        if self._server is None:
            self._listen()

    def finish(self, time_ms: int) -> None:
        """See :class:`device_sim.simulation.devices.Device`; connections are closed and refused."""
        self._stop_listening()
        self._values = None
        self.log.close()

    def _listen(self) -> None:
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
        try:
            self._server = self._loop.run(self._start(), _SECONDS)
        except (OSError, RuntimeError, TimeoutError) as error:
            raise DeviceError(f"{self.machine}, {self.protocol} on {self.address}: {error}") from error

    async def _start(self) -> Any:
        from pymodbus.server import ModbusTcpServer
        from pymodbus.simulator import DataType, SimData, SimDevice

        registers = [
            SimData(SPACING * row, values=[0], datatype=DataType.REGISTERS) for row in range(len(self._channels))
        ]
        device = SimDevice(UNIT_ID, simdata=registers, action=self._answer)
        server = ModbusTcpServer(device, address=(HOST, self._port))
        await server.serve_forever(background=True)
        return server

    def _stop_listening(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            self._loop.run(self._stop(server), _SECONDS)

    async def _stop(self, server: Any) -> None:
        self._values = None  # a request that was received and not yet answered is not logged as served
        await server.shutdown()

    async def _answer(
        self, _function: int, start: int, address: int, count: int, registers: list[int], written: Any
    ) -> Any:
        """Put the current values into the registers of a request, and record what is served; runs on the loop."""
        from pymodbus.constants import ExcCodes

        self._polled.set()
        values = self._values
        if written is not None:
            return ExcCodes.ILLEGAL_FUNCTION
        if values is None:
            return ExcCodes.DEVICE_BUSY
        rows = [at // SPACING for at in range(address, address + count) if at % SPACING == 0]
        now_ms = self._clock.wall_ms()
        if any(values[row] is None for row in rows):
            # The sensor reader stores its last value again, with quality bad.
            for row in rows:
                if (last := self._served[row]) is not None:
                    self.log.record(row, now_ms, last, bad=True)
            return ExcCodes.DEVICE_FAILURE
        for row in rows:
            raw = values[row]
            if raw is None:
                continue
            registers[SPACING * row - start] = raw & 0xFFFF
            self._served[row] = value = raw * self._channels[row].resolution
            self.log.record(row, now_ms, value)
        return None


def _signed(channel: Channel) -> bool:
    return channel.low < 0


def _register(channel: Channel, value: float) -> int:
    """Return the content of a register; a value beyond its range saturates, as in a real device."""
    low, high = (-32_768, 32_767) if _signed(channel) else (0, 65_535)
    return min(high, max(low, round(value / channel.resolution)))
