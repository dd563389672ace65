"""Devices of a plant in real time: JSON over MQTT by default, other protocols for the machines that have a device.

A reading has the time at which it was due, even if the simulation was late. The ledger and the logs of the devices are
the ground truth for the counts in the cloud; the ledger covers a reading up to the broker's acknowledgement.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from device_sim.errors import BrokerError, PlantError
from device_sim.simulation.faults import Fault, readings
from device_sim.simulation.ledger import Ledger
from device_sim.simulation.mqtt_publisher import Publisher
from device_sim.simulation.service_log import ServiceLog
from device_sim.simulation.signals import Plant
from edge_components.common.ports import Clock
from wire.model import FloatArray

FLUSH_SECONDS = 60.0
"""Time for the acknowledgements after the last reading; a busy machine needs more than a few seconds."""

CHUNK = 256
"""Ticks computed at once; the readings do not depend on it."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Clock of the sensors and a wait function: takes seconds, returns True on a stop request."""

    clock: Clock
    wait: Callable[[float], bool]


class Device(Protocol):
    """A machine with a protocol of its own. Its methods are called from one thread at a time."""

    @property
    def machine(self) -> str:
        """Name of the machine, the first part of its series' names."""

    @property
    def protocol(self) -> str:
        """Name of the protocol."""

    @property
    def address(self) -> str:
        """The address at which the machine is found."""

    @property
    def log(self) -> ServiceLog:
        """The readings served."""

    @property
    def source(self) -> Mapping[str, Any]:
        """The entry of the sensor reader's configuration that reads the machine."""

    def connected(self) -> bool:
        """Return whether the sensor reader receives what is served from now on."""

    def measure(self, values: FloatArray, time_ms: int) -> None:
        """Serve these readings, one for each channel, from now on; NaN is a sensor that gives none.

        Raises DeviceError on failure.
        """

    def finish(self, time_ms: int) -> None:
        """Serve no readings until the next call of :meth:`measure`, and close the log; raises DeviceError."""


class Sensors:
    """Sensors of a plant with injected faults; a machine without a device in ``devices`` publishes JSON over MQTT.

    ``origin_ms`` is the event time of the first tick, ``end_ms`` the time at which the next one is due. Raises
    PlantError for a device of a machine that the plant does not have.
    """

    def __init__(
        self,
        plant: Plant,
        faults: Sequence[Fault],
        publisher: Publisher,
        pace: Pace,
        width_ms: int = 1000,
        devices: Sequence[Device] = (),
    ) -> None:
        self.plant, self.faults, self.devices = plant, tuple(faults), tuple(devices)
        self.ledger = Ledger(plant.series, width_ms)
        self.origin_ms = self.end_ms = 0
        self._publisher, self._pace = publisher, pace
        self._topics = ["sensors/" + series.name.replace(".", "/", 1) for series in plant.series]
        machines = np.array([series.name.split(".", 1)[0] for series in plant.series])
        self._rows = [(device, np.flatnonzero(machines == device.machine)) for device in devices]
        missing = [device.machine for device, rows in self._rows if not len(rows)]
        if missing:
            raise PlantError(f"device of {missing[0]}: the plant has no such machine")
        self._published = ~np.isin(machines, [device.machine for device in devices])

    @property
    def sent(self) -> int:
        """Number of readings sent and served so far."""
        return len(self.ledger) + sum(len(device.log) for device in self.devices)

    def labels(self) -> tuple[Fault, ...]:
        """Return the faults with their times since the epoch; valid once :meth:`run` has begun."""
        return tuple(fault.shifted(self.origin_ms) for fault in self.faults)

    def run(self, duration_s: float) -> int:
        """Send for ``duration_s`` seconds or until a stop request; then wait for the broker's acknowledgements.

        Returns the number of readings sent and served; raises BrokerError if some are not acknowledged, DeviceError if
        a device fails.
        """
        clock, period = self._pace.clock, 1.0 / self.plant.rate_hz
        started, self.origin_ms = clock.monotonic(), clock.wall_ms()
        total = max(1, round(duration_s * self.plant.rate_hz))
        for first in range(0, total, CHUNK):
            ticks = np.arange(first, min(total, first + CHUNK), dtype=np.int64)
            values, times = readings(self.plant, self.faults, ticks), self.plant.time_ms(ticks)
            for column, tick in enumerate(ticks.tolist()):
                if self._pace.wait(max(0.0, started + tick * period - clock.monotonic())):
                    return self._finish()
                self._send(values[:, column], self.origin_ms + int(times[column]))
                self.end_ms = self.origin_ms + round((tick + 1) * 1000 * period)
        return self._finish()

    def _send(self, values: FloatArray, time_ms: int) -> None:
        rows = np.flatnonzero(self._published & ~np.isnan(values))
        for row in rows.tolist():
            payload = json.dumps({"value": float(values[row]), "time": time_ms}, separators=(",", ":"))
            self._publisher.publish(self._topics[row], payload.encode())
        self.ledger.record(rows, time_ms)
        for device, own in self._rows:
            device.measure(values[own], time_ms)

    def _finish(self) -> int:
        for device in self.devices:
            device.finish(self.end_ms)
        left = self._publisher.flush(FLUSH_SECONDS)
        if left:
            raise BrokerError(f"the broker has not acknowledged {left} of {len(self.ledger)} readings")
        return self.sent
