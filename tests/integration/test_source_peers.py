"""Each kind of source reads from a real peer: Modbus over TCP and a serial line, OPC UA, HTTP, a serial device."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import pty
import struct
import threading
import tty
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.unit.sensor_reader.thread_site import ThreadSite
from wire.model import Quality

pymodbus = pytest.importorskip("pymodbus")
asyncua = pytest.importorskip("asyncua")
serial = pytest.importorskip("serial")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

HOLDING = [0, 0, *struct.unpack(">HH", struct.pack(">f", 21.5)), 65_535, 7]
REGISTERS = [
    {"name": "flow", "address": 2, "type": "float32", "unit": "m3/h"},
    {"name": "level", "address": 4, "type": "int16", "scale": 0.5},
    {"name": "alarm", "address": 5, "type": "bit", "bit": 1},
    {"name": "run", "address": 0, "table": "coil"},
    {"name": "missing", "address": 5_000, "table": "input"},
]


class Background:
    """An event loop on a thread of its own, for servers."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine there and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def close(self) -> None:
        """End the loop and its thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


@pytest.fixture(scope="module")
def background() -> Iterator[Background]:
    made = Background()
    yield made
    made.close()


def modbus_device() -> Any:
    from pymodbus.simulator import DataType, SimData, SimDevice

    holding = [SimData(0, values=HOLDING, datatype=DataType.REGISTERS)]
    bits = [SimData(0, values=[True, False] * 8, datatype=DataType.BITS)]
    inputs = [SimData(0, values=[1, 2, 3], datatype=DataType.REGISTERS)]
    return SimDevice(1, simdata=(bits, bits, holding, inputs))


@contextmanager
def serving(background: Background, make: Callable[[], Any]) -> Iterator[None]:
    async def begin() -> Any:
        server = make()
        await server.serve_forever(background=True)
        return server

    server = background.run(begin())
    try:
        yield
    finally:
        background.run(server.shutdown())


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


EXPECTED = {"pump.flow": 21.5, "pump.level": -0.5, "pump.alarm": 1.0, "pump.run": 1.0}


@pytest.mark.parametrize("transport", ["tcp", "rtu_over_tcp"])
def test_modbus_over_tcp(background: Background, transport: str) -> None:
    from pymodbus import FramerType
    from pymodbus.server import ModbusTcpServer

    port = free_port()
    framer = FramerType.SOCKET if transport == "tcp" else FramerType.RTU
    values = {"transport": transport, "host": "127.0.0.1", "port": port, "interval_ms": 50, "timeout_ms": 500}
    with ThreadSite("modbus", {**values, "registers": REGISTERS}, name="pump") as site:
        site.poll_until(lambda: site.counters["source_disconnected"] >= 1)
        make = lambda: ModbusTcpServer(modbus_device(), framer=framer, address=("127.0.0.1", port))  # noqa: E731
        with serving(background, make):
            site.poll_until(lambda: site.values.keys() == EXPECTED.keys())
            assert site.values == EXPECTED
            assert site.units["pump.flow"] == "m3/h"
            site.poll_until(lambda: site.counters["modbus_exceptions"] >= 1)
            assert site.source.health() == {"connected": True}
        site.poll_until(lambda: not site.source.health()["connected"])
        with serving(background, make):
            before = len(site.sink.readings)
            site.poll_until(lambda: len(site.sink.readings) > before)


class Line:
    """A serial line: two pseudo-terminals whose bytes are passed on to each other."""

    def __init__(self) -> None:
        self._ends = [pty.openpty(), pty.openpty()]
        for master, slave in self._ends:
            tty.setraw(master)
            tty.setraw(slave)
        self.first, self.second = (os.ttyname(slave) for _master, slave in self._ends)
        self._threads = [
            threading.Thread(target=self._pass, args=(self._ends[at][0], self._ends[1 - at][0]), daemon=True)
            for at in (0, 1)
        ]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _pass(source: int, target: int) -> None:
        try:
            while data := os.read(source, 4096):
                os.write(target, data)
        except OSError:
            return

    def close(self) -> None:
        """Close both ends, which ends the threads."""
        for _master, slave in self._ends:
            os.close(slave)
        for thread in self._threads:
            thread.join(2)
        for master, _slave in self._ends:
            os.close(master)


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.close()


def test_modbus_on_a_serial_line(background: Background, line: Line) -> None:
    from pymodbus.server import ModbusSerialServer

    values = {"transport": "rtu", "device": line.second, "interval_ms": 50, "timeout_ms": 500, "baudrate": 115_200}
    with (
        serving(background, lambda: ModbusSerialServer(modbus_device(), port=line.first, baudrate=115_200)),
        ThreadSite("modbus", {**values, "registers": REGISTERS[:4]}, name="pump") as site,
    ):
        site.poll_until(lambda: site.values.keys() == EXPECTED.keys())
        assert site.values == EXPECTED


def test_lines_of_a_serial_device_are_read_with_a_pattern(line: Line) -> None:
    values = {
        "device": line.second,
        "pattern": r"T=(?P<temp>\S+) H=(?P<hum>\S+)",
        "decimal_comma": True,
        "fields": {"temp": {"unit": "Cel"}},
    }
    with ThreadSite("serial", values, name="scale") as site, serial.Serial(line.first) as device:
        site.poll_until(lambda: site.source.health() == {"connected": True})
        device.write(b"boot\r\nT=21,5 H=40\r\nT=22,5 ")
        device.write(b"H=41\r\n")
        site.poll_until(lambda: len(site.sink.readings) == 4)
        assert [(name, value) for name, _, value in site.sink.readings] == [
            ("scale.temp", 21.5),
            ("scale.hum", 40.0),
            ("scale.temp", 22.5),
            ("scale.hum", 41.0),
        ]
        assert site.units == {"scale.temp": "Cel", "scale.hum": ""}
        assert site.counters["rejected_line"] == 1


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers each path with what the test put there."""

    content: ClassVar[dict[str, tuple[int, bytes]]] = {}

    def do_GET(self) -> None:  # the name that the library calls
        status, body = self.content.get(self.path, (404, b""))
        if self.headers.get("Authorization") not in (None, "Basic Z3c6c2VjcmV0"):
            status = 401
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def test_an_http_endpoint_is_polled_and_failures_leave_gaps(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret\n")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}/status"
    values = {"url": url, "interval_ms": 100, "username": "gw", "password_file": str(tmp_path / "secret")}
    body = {"sensors": [{"id": "a", "v": 1.5}, {"id": "b", "v": "off"}], "version": "2"}
    try:
        keys = {"each": "sensors.*", "value": "v", "series": "hall.{.id}", "words": {"off": 0}}
        with ThreadSite("http", {**values, **keys}, name="api") as site:
            site.poll_until(lambda: site.counters["http_failed"] >= 1)
            Answers.content["/status"] = (200, json.dumps(body).encode())
            site.poll_until(lambda: site.values == {"hall.a": 1.5, "hall.b": 0.0})
            assert site.source.health() == {"connected": True}
            Answers.content["/status"] = (200, b"<html>")
            site.poll_until(lambda: "rejected_json" in [reason for reason, _ in site.sink.rejected])
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class OpcuaServer:
    """A server with a few variables; making its address space takes seconds, so there is one."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self.url = f"opc.tcp://127.0.0.1:{free_port()}/test"
        self.variables: dict[str, Any] = {}
        self._server = background.run(self._make())

    async def _make(self) -> Any:
        server = asyncua.Server()
        await server.init()
        server.set_endpoint(self.url)
        space = await server.register_namespace("urn:test")
        folder = await server.nodes.objects.add_object(space, "Room")
        for name, value in (("Temp", 4.5), ("Door", False), ("Text", "x")):
            node = asyncua.ua.NodeId(f"Room.{name}", space)
            self.variables[name] = await folder.add_variable(node, name, value)
        await server.start()
        return server

    def write(self, name: str, value: float, status: int) -> None:
        """Write a value with a status."""
        variant = asyncua.ua.Variant(value, asyncua.ua.VariantType.Double)
        data = asyncua.ua.DataValue(variant, asyncua.ua.StatusCode(status))
        self._background.run(self.variables[name].write_value(data))

    def listen(self, *, on: bool) -> None:
        """Accept connections, or end all of them."""
        endpoint = self._server.bserver
        self._background.run(endpoint.start() if on else endpoint.stop())

    def close(self) -> None:
        """End the server."""
        self._background.run(self._server.stop())


@pytest.fixture(scope="module")
def opcua(background: Background) -> Iterator[OpcuaServer]:
    made = OpcuaServer(background)
    yield made
    made.close()


def test_opc_ua_variables_are_subscribed_and_again_after_the_server_was_away(
    opcua: OpcuaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_components.sensor_reader.sources.opcua.CHECK_SECONDS", 0.3)
    monkeypatch.setattr("edge_components.sensor_reader.source_thread.LONGEST_RETRY_S", 0.5)
    nodes: list[dict[str, Any]] = [{"node": f"ns=2;s=Room.{name}"} for name in ("Temp", "Door", "Text", "None")]
    nodes[0] |= {"name": "temperature", "unit": "Cel"}
    values = {"url": opcua.url, "nodes": nodes, "sampling_ms": 50, "publishing_ms": 50}
    with ThreadSite("opcua", values, name="cold") as site:
        site.poll_until(lambda: site.values == {"cold.temperature": 4.5, "cold.Room.Door": 0.0})
        assert site.units["cold.temperature"] == "Cel"
        site.poll_until(lambda: site.counters["opcua_subscription_refused"] == 1)
        site.poll_until(lambda: bool(site.sink.rejected))
        assert set(site.sink.rejected) == {("rejected_value", "cold.Room.Text: the value 'x' is not a number")}
        opcua.write("Temp", 9.5, asyncua.ua.StatusCodes.UncertainLastUsableValue)
        site.poll_until(lambda: site.values["cold.temperature"] == 9.5)
        assert site.sink.qualities[-1] == Quality.UNCERTAIN
        opcua.listen(on=False)
        site.poll_until(lambda: not site.source.health()["connected"])
        opcua.write("Temp", 7.5, asyncua.ua.StatusCodes.Good)
        opcua.listen(on=True)
        site.poll_until(lambda: site.values["cold.temperature"] == 7.5)
