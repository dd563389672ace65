"""Sources read from peers that share no code with the library by which they read, and over connections that break.

The tests of OPC UA need the npm package node-opcua-server, whose folder STRANDLINE_NODE_OPCUA names.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import pty
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import tty
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.unit.sensor_reader.thread_site import ThreadSite
from tests.waiting import until
from wire.model import Quality

pytest.importorskip("pymodbus")
pytest.importorskip("serial")
from device_sim.chaos.certificates import Authority, Pair  # after the packages that the test needs
from device_sim.simulation.sensor_broker import free_port
from tests.integration.test_mqtt_source import mosquitto
from tests.integration.test_mqtt_source import pytestmark as needs_mosquitto
from tests.unit.sensor_reader.mqtt_site import Site

NODE = shutil.which("node")
SERVER = """
const http = require('http');
const body = JSON.stringify({pump: {flow: 2.5, on: true}});
http.createServer((request, response) => response.end(body)).listen(%d, '127.0.0.1');
"""
OPCUA_FOLDER = os.environ.get("STRANDLINE_NODE_OPCUA", "")
OPCUA_SERVER = """
const {OPCUAServer} = require('node-opcua-server');
const {Variant, DataType} = require('node-opcua-variant');
const {StatusCodes} = require('node-opcua-status-code');
(async () => {
  const server = new OPCUAServer({port: %d, resourcePath: '/plant'});
  await server.initialize();
  const space = server.engine.addressSpace, own = space.getOwnNamespace();
  const room = own.addObject({organizedBy: space.rootFolder.objects, browseName: 'Room'});
  const add = (nodeId, browseName, dataType, value, status, time) => own
    .addVariable({componentOf: room, nodeId, browseName, dataType: DataType[dataType]})
    .setValueFromSource(new Variant({dataType: DataType[dataType], value}), status, new Date(time));
  add('s=Room.Temp', 'Temp', 'Double', 4.5, StatusCodes.Good, 1700000000000);
  add('i=17', 'Door', 'Boolean', true, StatusCodes.UncertainLastUsableValue, 1700000001000);
  await server.start();
})();
"""
needs_node_opcua = pytest.mark.skipif(
    NODE is None or not Path(OPCUA_FOLDER, "node_modules/node-opcua-server").is_dir(),
    reason="STRANDLINE_NODE_OPCUA does not name a folder with node-opcua-server (npm install node-opcua-server)",
)


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_components.sensor_reader.source_thread.FIRST_RETRY_S", 0.05)
    monkeypatch.setattr("edge_components.sensor_reader.source_thread.LONGEST_RETRY_S", 0.1)


@contextlib.contextmanager
def modbus_server(port: int, holding: Sequence[int], coils: Sequence[bool]) -> Iterator[None]:
    """Run a Modbus TCP server of pyModbusTCP with these values from address 0."""
    from pyModbusTCP.server import ModbusServer

    server = ModbusServer("127.0.0.1", port, no_block=True)
    server.data_bank.set_holding_registers(0, holding)
    server.data_bank.set_coils(0, coils)
    server.start()
    try:
        yield
    finally:
        server.stop()


@pytest.mark.source_quality("peer", "modbus")
@pytest.mark.source_quality("independent", "modbus")
@pytest.mark.source_quality("reconnects", "modbus")
def test_modbus_is_read_from_another_implementation_also_after_it_was_away() -> None:
    pytest.importorskip("pyModbusTCP")
    port, (high, low) = free_port(), struct.unpack(">HH", struct.pack(">f", 21.5))
    registers = [
        {"name": "flow", "address": 0, "type": "float32", "unit": "m3/h"},
        {"name": "level", "address": 2, "type": "int16", "scale": 0.5},
        {"name": "run", "address": 1, "table": "coil"},
    ]
    values = {"host": "127.0.0.1", "port": port, "interval_ms": 30, "timeout_ms": 500, "registers": registers}
    with ThreadSite("modbus", values, name="pump") as site:
        with modbus_server(port, [high, low, 65_535], [False, True]):
            site.poll_until(lambda: site.values == {"pump.flow": 21.5, "pump.level": -0.5, "pump.run": 1.0})
            assert site.sink.qualities[-1] == Quality.GOOD
        site.poll_until(lambda: not site.source.health()["connected"])
        with modbus_server(port, [high, low, 4], [False, False]):
            site.poll_until(lambda: site.values == {"pump.flow": 21.5, "pump.level": 2.0, "pump.run": 0.0})
    assert site.counters["source_errors"] == 0


@pytest.mark.skipif(NODE is None, reason="node is not installed")
@pytest.mark.source_quality("independent", "http")
def test_http_is_read_from_another_implementation() -> None:
    port = free_port()
    server = subprocess.Popen([str(NODE), "-e", SERVER % port])
    try:
        with ThreadSite("http", {"url": f"http://127.0.0.1:{port}/", "interval_ms": 100}, name="api") as site:
            site.poll_until(lambda: site.values == {"api.pump.flow": 2.5, "api.pump.on": 1.0})
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(scope="module")
def opcua_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the OPC UA server of node-opcua, whose certificates are in a folder of their own."""
    port, home = free_port(), tmp_path_factory.mktemp("node-opcua")
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(NODE), "-e", OPCUA_SERVER % port],
            cwd=OPCUA_FOLDER,
            env={**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")},
            stdout=log,
            stderr=log,
        )
    try:
        yield f"opc.tcp://127.0.0.1:{port}/plant"
    finally:
        server.terminate()
        server.wait(10)


NODES = [{"node": "ns=1;s=Room.Temp", "name": "t", "unit": "Cel"}, {"node": "ns=1;i=17", "name": "door"}]


@needs_node_opcua
@pytest.mark.slow
@pytest.mark.source_quality("peer", "opcua")
@pytest.mark.source_quality("independent", "opcua")
@pytest.mark.source_quality("times", "opcua")
@pytest.mark.source_quality("qualities", "opcua")
@pytest.mark.parametrize("policy", ["none", "Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"])
def test_opc_ua_is_read_from_another_implementation(opcua_url: str, policy: str, tmp_path: Path) -> None:
    from tests.integration.source_peers import make_identity

    values: dict[str, Any] = {"url": opcua_url, "nodes": NODES, "sampling_ms": 100, "publishing_ms": 100}
    if policy != "none":
        gateway = make_identity(tmp_path, "gateway")
        values |= {"security_policy": policy, "cert_file": str(gateway.cert), "key_file": str(gateway.key)}
    with ThreadSite("opcua", values, name="cold") as site:
        until(lambda: site.values == {"cold.t": 4.5, "cold.door": 1.0}, site.source.health, 60, site.poll)
        found = dict(zip(site.sink.readings, site.sink.qualities, strict=True))
    assert found == {
        ("cold.t", 1_700_000_000_000, 4.5): Quality.GOOD,
        ("cold.door", 1_700_000_001_000, 1.0): Quality.UNCERTAIN,
    }


class Pump(http.server.BaseHTTPRequestHandler):
    """Answers each request with one reading that has a time and a quality."""

    def do_GET(self) -> None:  # the name that the library calls
        body = json.dumps({"value": 4.5, "time": 1_700_000_000_000, "quality": "uncertain"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class QuietServer(http.server.ThreadingHTTPServer):
    """A server that does not print the handshakes that a client refused."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing."""


@contextlib.contextmanager
def https_server(port: int, pair: Pair) -> Iterator[None]:
    server = QuietServer(("127.0.0.1", port), Pump)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.source_quality("unreachable", "http")
@pytest.mark.source_quality("reconnects", "http")
@pytest.mark.source_quality("secure", "http")
@pytest.mark.source_quality("times", "http")
@pytest.mark.source_quality("qualities", "http")
def test_https_is_read_with_time_and_quality_again_after_an_absence_and_not_with_a_foreign_certificate(
    tmp_path: Path,
) -> None:
    authority, foreign, port = Authority(tmp_path / "a"), Authority(tmp_path / "b", "Another authority"), free_port()
    values = {"url": f"https://localhost:{port}/", "interval_ms": 100, "value": "value", "series": "pump"}
    with ThreadSite("http", {**values, "ca_file": str(authority.ca)}, name="api") as site:
        site.poll_until(lambda: site.counters["http_failed"] >= 1)
        with https_server(port, foreign.server()):
            before = site.counters["http_failed"]
            site.poll_until(lambda: site.counters["http_failed"] > before + 1)
            assert "certificate" in site.source.health()["failure"].lower()
            assert site.sink.readings == []
        for _ in range(2):
            site.sink.readings.clear()
            with https_server(port, authority.server()):
                site.poll_until(lambda: bool(site.sink.readings))
                assert site.sink.readings[-1] == ("pump", 1_700_000_000_000, 4.5)
                assert site.sink.qualities[-1] == Quality.UNCERTAIN
            before = site.counters["http_failed"]
            site.poll_until(lambda before=before: site.counters["http_failed"] > before)  # type: ignore[misc]


@pytest.mark.source_quality("unreachable", "serial")
@pytest.mark.source_quality("reconnects", "serial")
def test_a_serial_device_that_was_unplugged_is_read_again(tmp_path: Path) -> None:
    device = tmp_path / "ttyUSB0"
    with ThreadSite("serial", {"device": str(device)}, name="scale") as site:
        for value in (1.5, 2.5):
            site.poll_until(lambda: not site.source.health()["connected"] and site.counters["source_disconnected"] > 0)
            master, slave = pty.openpty()
            tty.setraw(slave)
            device.symlink_to(os.ttyname(slave))
            site.poll_until(lambda: site.source.health()["connected"])
            os.write(master, b"%.1f\n" % value)
            site.poll_until(lambda value=value: site.values == {"scale": value})  # type: ignore[misc]
            device.unlink()
            os.close(slave)
            os.close(master)
    assert site.counters["source_errors"] == 0


@needs_mosquitto
@pytest.mark.source_quality("qualities", "mqtt")
def test_the_quality_in_a_payload_is_that_of_the_reading(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker", "allow_anonymous true") as port:
        site = Site(port)
        found: list[int] = []
        add = site.sink.extend

        def extend(series_ids: Any, times_ms: Any, values: Any, qualities: Any, arrived: float) -> None:
            found.extend(int(one) for one in qualities)
            add(series_ids, times_ms, values, qualities, arrived)

        site.sink.extend = extend
        site.open()
        try:
            found.clear()
            for quality in ("good", "uncertain", "bad"):
                site.publish("sensors/pump/flow", json.dumps({"value": 1, "quality": quality}))
            site.poll_until(lambda: len(found) == 3)
            assert found == [Quality.GOOD, Quality.UNCERTAIN, Quality.BAD]
        finally:
            site.close()


@pytest.mark.source_quality("hangs", "mqtt")
def test_a_broker_that_accepts_and_does_not_answer_is_left_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_components.sensor_reader.mqtt.client.MISC_SECONDS", 0.05)
    monkeypatch.setattr("edge_components.sensor_reader.mqtt.connection.FIRST_RETRY_S", 0.05)
    monkeypatch.setattr("edge_components.sensor_reader.mqtt.connection.LONGEST_RETRY_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        site = Site(listener.getsockname()[1])
        site.source.start()

        def left_twice() -> bool:
            site.clock.advance(1.0)
            return site.counters["mqtt_timeout"] >= 2

        try:
            site.poll_until(left_twice)
            assert site.source.health()["connected"] is False
        finally:
            site.source.close()


@pytest.mark.source_quality("peer", "replay")
@pytest.mark.source_quality("independent", "replay")
def test_a_parquet_file_of_another_writer_is_replayed(tmp_path: Path) -> None:
    duckdb, file = pytest.importorskip("duckdb"), tmp_path / "line.parquet"
    pytest.importorskip("pyarrow")
    query = "SELECT TIMESTAMP '2023-11-14 22:13:20' AS t, 21.5::DOUBLE AS temp, 7::INTEGER AS level, 'ok' AS note"
    duckdb.sql(query).write_parquet(str(file))
    with ThreadSite("replay", {"file": str(file), "time": "t", "speed": 0}, name="line") as site:
        site.poll_until(lambda: site.source.health() == {"state": "finished"})
        site.poll()
    assert site.sink.readings == [("line.temp", 1_700_000_000_000, 21.5), ("line.level", 1_700_000_000_000, 7.0)]
