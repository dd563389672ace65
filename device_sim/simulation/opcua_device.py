"""A simulated machine that is read over OPC UA: one variable for each channel, through asyncua.

The server notifies a subscriber when the value or the status of a variable changes, not when it is written. A sensor
that gives no reading has the status BadSensorFailure and no value, for which the sensor reader repeats the last value
with quality bad.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, Self

from device_sim.errors import DeviceError
from device_sim.simulation.event_loop import EventLoopThread
from device_sim.simulation.sensor_broker import HOST, free_port
from device_sim.simulation.service_log import ServiceLog
from device_sim.simulation.signals import Machine, machine_series
from wire.model import FloatArray

NAMESPACE = "urn:strandline:simulation"
_INDEX = 2
"""Index of the namespace: 0 and 1 are the standard's and the server's own."""

_START_SECONDS, _SECONDS = 300.0, 60.0
"""Time for the start, and for a write or the stop; a busy machine needs much more than an idle one."""


class OpcuaDevice:
    """See :class:`device_sim.simulation.devices.Device`; a context manager. Raises DeviceError.

    Entering begins the start of the server, which takes some seconds; :meth:`wait_until_listening` waits for its end.
    """

    protocol = "OPC UA"

    def __init__(self, machine: Machine, loop: EventLoopThread, sampling_ms: int = 200) -> None:
        self.machine, self._channels = machine.name, machine.channels
        self.log = ServiceLog(machine_series(machine), stamped=True)
        self._loop, self._sampling_ms = loop, sampling_ms
        self._port = free_port()
        self._starting: Future[None] | None = None
        self._server: Any = None
        self._variables: list[Any] = []
        self._subscribed = 0
        self._last: list[float | None] = [None] * len(self._channels)
        self._last_good: list[float | None] = [None] * len(self._channels)

    def __enter__(self) -> Self:
        self._starting = self._loop.submit(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        if self._starting is not None:
            self._starting.cancel()
        if self._server is not None:
            self._loop.run(self._server.stop(), _SECONDS)

    def wait_until_listening(self) -> None:
        """Wait until the server accepts connections."""
        if self._starting is None:
            return
        try:
            self._starting.result(_START_SECONDS)
        except TimeoutError as error:
            text = f"not started within {_START_SECONDS:g} s"
            raise DeviceError(f"{self.machine}, {self.protocol} on {self.address}: {text}") from error
        except OSError as error:
            raise DeviceError(f"{self.machine}, {self.protocol} on {self.address}: {error}") from error

    @property
    def address(self) -> str:
        """See :class:`device_sim.simulation.devices.Device`."""
        return f"opc.tcp://{HOST}:{self._port}/{self.machine}"

    @property
    def source(self) -> Mapping[str, Any]:
        """See :class:`device_sim.simulation.devices.Device`."""
        nodes = [{"node": self._node(c.name), "name": c.name, "unit": c.unit} for c in self._channels]
        times = {"sampling_ms": self._sampling_ms, "publishing_ms": self._sampling_ms}
        return {"name": self.machine, "kind": "opcua", "url": self.address, "nodes": nodes, **times}

    def connected(self) -> bool:
        """See :class:`device_sim.simulation.devices.Device`."""
        return self._subscribed >= len(self._channels)

    def measure(self, values: FloatArray, time_ms: int) -> None:
        """See :class:`device_sim.simulation.devices.Device`."""
        try:
            self._loop.run(self._write(values.tolist(), time_ms), _SECONDS)
        except TimeoutError as error:
            raise DeviceError(f"{self.machine}, {self.protocol} on {self.address}: {error}") from error

    def finish(self, time_ms: int) -> None:
        """See :class:`device_sim.simulation.devices.Device`; the variables keep their values."""
        self.log.close()

    def _node(self, channel: str) -> str:
        return f"ns={_INDEX};s={self.machine}.{channel}"

    async def _start(self) -> None:
        asyncua = _library()
        ua = asyncua.ua
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)
        server = asyncua.Server()
        with _collector_off():
            await server.init()
        server.disable_clock()
        server.set_endpoint(self.address)
        server.set_server_name("Strandline simulation")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        index = await server.register_namespace(NAMESPACE)
        folder = await server.nodes.objects.add_object(index, self.machine)
        waiting = ua.DataValue(ua.Variant(), ua.StatusCode(ua.StatusCodes.BadWaitingForInitialData))
        for channel in self._channels:
            node = ua.NodeId.from_string(self._node(channel.name))
            variable = await folder.add_variable(node, channel.name, 0.0, ua.VariantType.Double)
            await variable.write_value(waiting)
            self._variables.append(variable)
        server.subscribe_server_callback(
            asyncua.common.callback.CallbackType.ItemSubscriptionCreated, self._count_subscription
        )
        self._server = server
        await server.start()

    def _count_subscription(self, event: Any, _service: Any) -> None:
        if event.is_external:
            self._subscribed += len(event.request_params.ItemsToCreate)

    async def _write(self, values: list[float], time_ms: int) -> None:
        """Write all variables, and record those of which the server notifies a subscriber."""
        ua = _library().ua
        moment = datetime.fromtimestamp(time_ms / 1000, UTC)
        for row, (variable, value) in enumerate(zip(self._variables, values, strict=True)):
            known = None if math.isnan(value) else value
            status = ua.StatusCodes.BadSensorFailure if known is None else ua.StatusCodes.Good
            variant = ua.Variant() if known is None else ua.Variant(known, ua.VariantType.Double)
            data = ua.DataValue(variant, ua.StatusCode(status), moment)
            good = self._last_good[row] if known is None else known
            if known != self._last[row] and good is not None:
                self.log.record(row, time_ms, good, bad=known is None)
            self._last[row], self._last_good[row] = known, good
            await variable.write_value(data)


@contextlib.contextmanager
def _collector_off() -> Iterator[None]:
    """Switch Python's garbage collector off: it takes two fifths of the time in which the address space is made."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _library() -> Any:
    """Return asyncua, which is imported by runs that need it only."""
    import asyncua
    import asyncua.common.callback

    return asyncua
