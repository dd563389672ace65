"""The examples of docs/sources.md are read from real peers, with their addresses; OPC UA is in test_source_peers."""

from __future__ import annotations

import http.server
import json
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pymodbus")
pytest.importorskip("asyncua")  # for the module with the peers
serial = pytest.importorskip("serial")
from device_sim.chaos.certificates import Authority  # noqa: E402 # after the packages that the test needs
from tests.integration.source_examples import EXAMPLES, example  # noqa: E402 # needs the packages
from tests.integration.source_peers import Answers, Background, Line, free_port, serving  # noqa: E402
from tests.integration.test_mqtt_source import (  # noqa: E402, F401
    mosquitto,
    password_line,
    pytestmark,
    tls,
)
from tests.unit.sensor_reader.mqtt_site import Site  # noqa: E402
from tests.unit.sensor_reader.sparkplug_messages import message, metric  # noqa: E402
from tests.unit.sensor_reader.thread_site import ThreadSite  # noqa: E402

MQTT: dict[str, list[tuple[str, Any, dict[str, float]]]] = {
    "hall-1": [("sensors/pump/flow", 1.5, {"pump.flow": 1.5})],
    "hall-2": [("plant/north/pump", 2.5, {"north.pump": 2.5})],
    "hall": [
        ("sensors/pump/flow", 3.5, {"pump.flow": 3.5}),
        (
            "zigbee2mqtt/cellar",
            {"temperature": 12.4, "contact": True},
            {"cellar.temperature": 12.4, "cellar.contact": 1},
        ),
        ("plant/a/x", {"temperature": 5.5, "power": {"l1": 2}}, {"a.temperature": 5.5, "a.power.l1": 2}),
    ],
    "opc": [("opc/line", {"values": [{"id": "Press.T", "v": 7.5, "q": True}]}, {"Press.T": 7.5})],
    "mixed": [
        ("senml/x", [{"bn": "pump:", "n": "flow", "v": 2.5}], {"pump:flow": 2.5}),
        ("influx/x", "weather,site=north t=5.5", {"weather.north.t": 5.5}),
        ("meter/4", struct.pack(">HHi", 2300, 3, 700), {"4.volt": 230, "4.amp": 3, "4.watt": 700}),
        ("scale/3", "7,5 kWh", {"3": 7.5}),
        ("log/2", "2023-11-14 23:13:10;6.5;1", {"2.temp": 6.5, "2.state": 1}),
    ],
    "zigbee": [("zigbee2mqtt/door", {"contact": False}, {"door.contact": 0})],
    "plugs": [("tele/plug/SENSOR", {"ENERGY": {"Power": 5}}, {"plug.ENERGY.Power": 5})],
    "scada": [("spBv1.0/hall/NBIRTH/n", message(metric("T", 4.5), time=None, sequence=0), {"hall.n.T": 4.5})],
}
"""Topics and payloads for the examples of brokers, and the readings that they give."""


def test_every_example_of_a_kind_with_a_peer_is_run() -> None:
    elsewhere = {"cold-room", "press"} | {"portal", "pump", "meters", "heating", "scale"}
    files = {name for name, entry in EXAMPLES.items() if entry["kind"] in ("host", "replay", "onewire", "iio")}
    assert set(EXAMPLES) == set(MQTT) | elsewhere | files


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with mosquitto(tmp_path_factory.mktemp("broker"), "allow_anonymous true") as port:
        yield port


def read(site: Site, publish: list[tuple[str, Any, dict[str, float]]], port: int) -> None:
    """Publish until the expected readings have come."""
    site.source.start()
    site.sensor.connect("127.0.0.1", port)
    site.sensor.loop_start()
    try:
        for topic, payload, expected in publish:
            body = payload if isinstance(payload, bytes | str) else json.dumps(payload)

            def complete(topic: str = topic, body: Any = body, expected: dict[str, float] = expected) -> bool:
                values = {name: value for name, _time, value in site.sink.readings}
                if {name: values.get(name) for name in expected} == pytest.approx(expected, nan_ok=True):
                    return True
                site.publish(topic, body)
                return False

            site.poll_until(complete)
        assert site.sink.rejected == []
    finally:
        site.close()


@pytest.mark.source_quality("example", "mqtt")
@pytest.mark.parametrize("name", MQTT)
def test_the_example_of_a_broker_gives_readings(broker: int, name: str) -> None:
    here = {"client_id": name, **example(name, host="127.0.0.1", port=broker)}
    read(Site(**here), MQTT[name], broker)


def test_the_example_of_a_broker_behind_a_web_server_gives_readings(tmp_path: Path) -> None:
    authority, port = Authority(tmp_path / "authority"), free_port()
    (tmp_path / "users").write_text(password_line("gateway", "secret"))
    (tmp_path / "secret").write_text("secret\n")
    listener = (f"listener {port} 127.0.0.1", "protocol websockets", *tls(authority)[1:])
    lines = ("allow_anonymous true", f"password_file {tmp_path / 'users'}", *listener)
    with mosquitto(tmp_path / "broker", *lines) as plain:
        here = {"host": "localhost", "port": port, "ca_file": str(authority.ca)}
        site = Site(**example("portal", **here, password_file=str(tmp_path / "secret")))
        read(site, [("sensors/pump/flow", 4.5, {"pump.flow": 4.5})], plain)


@pytest.fixture(scope="module")
def background() -> Iterator[Background]:
    made = Background()
    yield made
    made.close()


def device(unit: int, words: list[int]) -> Any:
    """Return a Modbus device with these holding registers, and alternating bits."""
    from pymodbus.simulator import DataType, SimData, SimDevice

    holding = [SimData(0, values=words, datatype=DataType.REGISTERS)]
    bits = [SimData(0, values=[True, False] * 8, datatype=DataType.BITS)]
    return SimDevice(unit, simdata=(bits, bits, holding, holding))


@pytest.mark.source_quality("example", "modbus")
def test_the_example_of_a_modbus_device_gives_readings(background: Background) -> None:
    from pymodbus import FramerType
    from pymodbus.server import ModbusTcpServer

    port = free_port()
    high, low = struct.unpack(">HH", struct.pack(">f", 21.5))
    address = ("127.0.0.1", port)
    made = device(1, [low, high, 250, 0])
    with (
        serving(background, lambda: ModbusTcpServer(made, framer=FramerType.SOCKET, address=address)),
        ThreadSite("modbus", example("pump", host="127.0.0.1", port=port), name="pump") as site,
    ):
        site.poll_until(lambda: len(site.values) == 3)
        assert site.values == {"pump.flow": 21.5, "pump.pressure": 2.5, "pump.running": 1}
        assert site.units == {"pump.flow": "m3/h", "pump.pressure": "bar", "pump.running": ""}


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.close()


def test_the_example_of_modbus_on_a_serial_line_gives_readings(background: Background, line: Line) -> None:
    from pymodbus.server import ModbusSerialServer

    made = device(3, [0] * 40 + [0, 1234])
    with (
        serving(background, lambda: ModbusSerialServer(made, port=line.first, baudrate=9_600)),
        # A pseudo-terminal has no parity.
        ThreadSite("modbus", example("meters", device=line.second, parity="N"), name="meters") as site,
    ):
        site.poll_until(lambda: bool(site.values))
        assert site.values == pytest.approx({"meters.hall.energy": 123.4})
        assert site.units == {"meters.hall.energy": "kWh"}


@pytest.mark.source_quality("example", "serial")
def test_the_example_of_a_serial_device_gives_readings(line: Line) -> None:
    with (
        ThreadSite("serial", example("scale", device=line.second), name="scale") as site,
        serial.Serial(line.first) as sender,
    ):
        site.poll_until(lambda: site.source.health() == {"connected": True})
        sender.write(b"W=81,5\r\n")
        site.poll_until(lambda: site.values == {"scale.weight": 81.5})
        assert site.units == {"scale.weight": "kg"}


@pytest.mark.source_quality("example", "http")
def test_the_example_of_a_web_server_gives_readings() -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Answers.content["/api/status"] = (200, b'{"sensors": [{"id": "flow", "v": 41.5}, {"id": "return", "v": 33}]}')
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/api/status"
        with ThreadSite("http", example("heating", url=url), name="heating") as site:
            site.poll_until(lambda: site.values == {"heating.flow": 41.5, "heating.return": 33})
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
