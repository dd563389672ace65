"""Each kind of source reads from a real peer: Modbus over TCP and a serial line, OPC UA, HTTP, a serial device."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.http_server import http_server
from tests.unit.sensor_reader.thread_site import ThreadSite
from wire.model import Quality

pymodbus = pytest.importorskip("pymodbus")
asyncua = pytest.importorskip("asyncua")
serial = pytest.importorskip("serial")
from tests.integration.source_examples import example  # noqa: E402
from tests.integration.source_peers import (  # noqa: E402 # needs the packages
    Answers,
    Background,
    Identity,
    Line,
    OpcuaServer,
    free_port,
    make_identity,
    modbus_device,
    serving,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

REGISTERS = [
    {"name": "flow", "address": 2, "type": "float32", "unit": "m3/h"},
    {"name": "level", "address": 4, "type": "int16", "scale": 0.5},
    {"name": "alarm", "address": 5, "type": "bit", "bit": 1},
    {"name": "run", "address": 0, "table": "coil"},
    {"name": "missing", "address": 5_000, "table": "input"},
]


@pytest.fixture(scope="module")
def background() -> Iterator[Background]:
    made = Background()
    yield made
    made.close()


EXPECTED = {"pump.flow": 21.5, "pump.level": -0.5, "pump.alarm": 1.0, "pump.run": 1.0}


@pytest.mark.source_quality("unreachable", "modbus")
@pytest.mark.source_quality("reconnects", "modbus")
@pytest.mark.source_quality("peer", "modbus")
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


@pytest.mark.source_quality("peer", "serial")
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


@pytest.mark.source_quality("times", "serial")
def test_a_pattern_with_one_group_names_and_describes_its_series(line: Line) -> None:
    pattern = r"(?P<time>\d+) W=(?P<weight>\S+)"
    values = {"device": line.second, "pattern": pattern, "fields": {"weight": {"unit": "kg"}}}
    with ThreadSite("serial", values, name="scale") as site, serial.Serial(line.first) as device:
        site.poll_until(lambda: site.source.health() == {"connected": True})
        device.write(b"1700000000 W=81\n")
        site.poll_until(lambda: site.sink.readings == [("scale.weight", 1_700_000_000_000, 81.0)])
        assert site.units == {"scale.weight": "kg"}


@pytest.mark.source_quality("unreachable", "http")
@pytest.mark.source_quality("reconnects", "http")
@pytest.mark.source_quality("peer", "http")
def test_an_http_endpoint_is_polled_and_failures_leave_gaps(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret\n")
    values = {"interval_ms": 100, "username": "gw", "password_file": str(tmp_path / "secret")}
    body = {"sensors": [{"id": "a", "v": 1.5}, {"id": "b", "v": "off"}], "version": "2"}
    keys = {"each": "sensors.*", "value": "v", "series": "hall.{.id}", "words": {"off": 0}}
    with (
        http_server(Answers) as address,
        ThreadSite("http", {"url": f"{address}/status", **values, **keys}, name="api") as site,
    ):
        site.poll_until(lambda: site.counters["http_failed"] >= 1)
        Answers.content["/status"] = (200, json.dumps(body).encode())
        site.poll_until(lambda: site.values == {"hall.a": 1.5, "hall.b": 0.0})
        assert site.source.health() == {"connected": True}
        Answers.content["/status"] = (200, b"<html>")
        site.poll_until(lambda: "rejected_json" in [reason for reason, _ in site.sink.rejected])


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Identity]:
    folder = tmp_path_factory.mktemp("identities")
    return {name: make_identity(folder, name) for name in ("server", "gateway", "user", "stranger")}


@pytest.fixture(scope="module")
def opcua(background: Background, identities: dict[str, Identity]) -> Iterator[OpcuaServer]:
    made = OpcuaServer(background, identities["server"])
    made.users.certificates.append(identities["user"].der)
    yield made
    made.close()


@pytest.mark.source_quality("unreachable", "opcua")
@pytest.mark.source_quality("qualities", "opcua")
@pytest.mark.source_quality("reconnects", "opcua")
@pytest.mark.source_quality("peer", "opcua")
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
        site.poll_until(lambda: site.counters["opcua_subscription_rejected"] == 1)
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


POLICIES = ("Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss")


@pytest.mark.parametrize(("policy", "mode"), [*((one, "SignAndEncrypt") for one in POLICIES), (POLICIES[0], "Sign")])
def test_opc_ua_is_read_with_each_security_policy(
    opcua: OpcuaServer, identities: dict[str, Identity], policy: str, mode: str
) -> None:
    gateway, server = identities["gateway"], identities["server"]
    values: dict[str, Any] = {
        "url": opcua.url,
        "nodes": [{"node": "ns=2;s=Room.Door"}],
        "security_policy": policy,
        "security_mode": mode,
        "cert_file": str(gateway.cert),
        "key_file": str(gateway.key),
    }
    if mode == "SignAndEncrypt":
        values["server_cert_file"] = str(server.cert)
    with ThreadSite("opcua", values, name="cold") as site:
        site.poll_until(lambda: site.values == {"cold.Room.Door": 0.0})


def test_opc_ua_users_prove_themselves_by_password_or_certificate(
    opcua: OpcuaServer, identities: dict[str, Identity], tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "wrong").write_text("wrong\n")
    gateway, user, stranger = identities["gateway"], identities["user"], identities["stranger"]
    values: dict[str, Any] = {
        "url": opcua.url,
        "nodes": [{"node": "ns=2;s=Room.Door"}],
        "security_policy": "Basic256Sha256",
        "cert_file": str(gateway.cert),
        "key_file": str(gateway.key),
    }
    password = {"username": "gw", "password_file": str(tmp_path / "secret")}
    certificate = {"user_cert_file": str(user.cert), "user_key_file": str(user.key)}
    refused: list[dict[str, str]] = [
        {},
        {**password, "password_file": str(tmp_path / "wrong")},
        {"user_cert_file": str(stranger.cert), "user_key_file": str(stranger.key)},
        {"user_cert_file": str(user.cert), "user_key_file": str(stranger.key)},
    ]
    opcua.users.anonymous = False
    try:
        for keys in (password, certificate):
            with ThreadSite("opcua", {**values, **keys}, name="cold") as site:
                site.poll_until(lambda: site.values == {"cold.Room.Door": 0.0})
        for keys in refused:
            with ThreadSite("opcua", {**values, **keys}, name="cold") as site:
                site.poll_until(lambda: site.counters["source_disconnected"] >= 1)
                assert "Bad" in site.source.health()["failure"]
                assert site.values == {}
    finally:
        opcua.users.anonymous = True


@pytest.mark.source_quality("secure", "opcua")
def test_an_opc_ua_server_with_another_certificate_than_the_configured_one_is_not_read(
    opcua: OpcuaServer, identities: dict[str, Identity], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_components.sensor_reader.sources.opcua.CONNECT_SECONDS", 2.0)
    values: dict[str, Any] = {
        "url": opcua.url,
        "nodes": [{"node": "ns=2;s=Room.Door"}],
        "security_policy": "Basic256Sha256",
        "cert_file": str(identities["gateway"].cert),
        "key_file": str(identities["gateway"].key),
        "server_cert_file": str(identities["stranger"].cert),
    }
    with ThreadSite("opcua", values, name="cold") as site:
        site.poll_until(lambda: site.counters["source_disconnected"] >= 1)
        assert site.values == {}


@pytest.mark.source_quality("qualities", "opcua")
def test_a_bad_opc_ua_status_without_a_value_gives_the_last_value_as_bad(opcua: OpcuaServer) -> None:
    codes = asyncua.ua.StatusCodes
    opcua.write("Temp", 5.5, codes.Good)
    nodes = [{"node": "ns=2;s=Room.Temp", "name": "t"}]
    with ThreadSite(
        "opcua", {"url": opcua.url, "nodes": nodes, "sampling_ms": 20, "publishing_ms": 20}, name="cold"
    ) as site:
        site.poll_until(lambda: site.values == {"cold.t": 5.5})
        opcua.write("Temp", None, codes.BadSensorFailure)
        site.poll_until(lambda: site.counters["opcua_bad_status"] == 1)
        site.poll_until(lambda: len(site.sink.qualities) == 2)
        assert (site.values, site.sink.qualities[-1]) == ({"cold.t": 5.5}, Quality.BAD)
        opcua.write("Temp", 6.5, codes.GoodClamped | 0x480)  # with the bits that report an overflow of the queue
        site.poll_until(lambda: site.values == {"cold.t": 6.5})
        assert site.sink.qualities[-1] == Quality.GOOD


def test_a_storm_of_bad_opc_ua_statuses_gives_bad_readings_and_few_lines(
    opcua: OpcuaServer, caplog: pytest.LogCaptureFixture
) -> None:
    codes = sorted(code for name, code in vars(asyncua.ua.StatusCodes).items() if name.startswith("Bad"))
    opcua.write("Temp", 5.5, asyncua.ua.StatusCodes.Good)
    values = {"url": opcua.url, "nodes": [{"node": "ns=2;s=Room.Temp", "name": "t"}]}
    keys = {"sampling_ms": 10, "publishing_ms": 10, "queue_size": 10_000}
    with ThreadSite("opcua", {**values, **keys}, name="o") as site, caplog.at_level(logging.WARNING, "test"):
        site.poll_until(lambda: site.values == {"o.t": 5.5})
        assert len(codes) > 200
        for at, code in enumerate(codes):
            opcua.write("Temp", None if at % 2 else float(at), code)
        opcua.write("Temp", 7.5, asyncua.ua.StatusCodes.Good)
        site.poll_until(lambda: site.values == {"o.t": 7.5})
        assert site.sink.qualities[0] == site.sink.qualities[-1] == Quality.GOOD
        assert set(site.sink.qualities[1:-1]) == {Quality.BAD}
        assert site.source.health() == {"connected": True}
    assert site.counters["opcua_bad_status"] == len(codes)
    assert site.counters["source_disconnected"] == site.counters["source_errors"] == 0
    assert len([record for record in caplog.records if "opcua_bad_status" in record.message]) == 1


@pytest.mark.source_quality("example", "opcua")
def test_the_examples_of_opc_ua_on_the_page_of_sources_give_readings(
    opcua: OpcuaServer, identities: dict[str, Identity]
) -> None:
    opcua.add("ns=2;i=17", True)
    opcua.add("ns=3;s=Force", 6.5)
    opcua.write("Temp", 4.5, asyncua.ua.StatusCodes.Good)
    with ThreadSite("opcua", example("cold-room", url=opcua.url), name="cold") as site:
        site.poll_until(lambda: site.values == {"cold.temperature": 4.5, "cold.door": 1.0})
        assert site.units["cold.temperature"] == "Cel"
    gateway, user = identities["gateway"], identities["user"]
    files = {"cert_file": str(gateway.cert), "key_file": str(gateway.key)}
    files |= {"user_cert_file": str(user.cert), "user_key_file": str(user.key)}
    opcua.users.anonymous = False
    try:
        with ThreadSite("opcua", example("press", url=opcua.url, **files), name="press") as site:
            site.poll_until(lambda: site.values == {"press.Force": 6.5})
    finally:
        opcua.users.anonymous = True
