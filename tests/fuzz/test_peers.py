"""Answers of a Modbus device or an OPC UA server never end the source: counted, logged, connected again."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pymodbus")
pytest.importorskip("asyncua")
from tests.fuzz.hostile_peers import (  # needs the packages
    OPC_ANSWERS,
    Framing,
    Peer,
    opc_length,
    rtu_length,
    tcp_length,
)
from tests.unit.sensor_reader.thread_site import ThreadSite
from wire.model import Quality

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
REGISTERS = [{"name": name, "address": at} for at, name in enumerate("abcd")]
RIGHT = {"m.a": 1234.0, "m.b": 0.0, "m.c": 65_535.0, "m.d": 7.0}


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_components.sensor_reader.source_thread.FIRST_RETRY_S", 0.01)
    monkeypatch.setattr("edge_components.sensor_reader.source_thread.LONGEST_RETRY_S", 0.01)


@pytest.mark.parametrize("transport", ["tcp", "rtu_over_tcp"])
def test_a_modbus_device_that_breaks_the_protocol_is_read_again(transport: str) -> None:
    framing = Framing(rtu=transport != "tcp")
    complete = rtu_length if framing.rtu else tcp_length
    with Peer(framing.answers(), framing.right, complete) as peer:
        values: dict[str, Any] = {"transport": transport, "host": "127.0.0.1", "port": peer.port}
        values |= {"timeout_ms": 50, "interval_ms": 20, "registers": REGISTERS}
        with ThreadSite("modbus", values, name="m") as site:
            site.poll_until(lambda: peer.left == 0)
            site.sink.readings.clear()
            site.poll_until(lambda: site.values == RIGHT)
            assert site.source.health()["connected"]
    assert site.counters["source_errors"] == 0
    assert site.counters["modbus_timeouts"] > 10
    assert site.counters["modbus_exceptions"] >= 10


def test_a_storm_of_modbus_exceptions_gives_bad_readings_and_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    framing = Framing(rtu=False)
    storm = [framing.right, *(framing._exception(1 + at % 11) for at in range(200))]
    with Peer(storm, framing.right, tcp_length) as peer, caplog.at_level(logging.WARNING, "test"):
        values = {"host": "127.0.0.1", "port": peer.port, "interval_ms": 20, "registers": REGISTERS}
        with ThreadSite("modbus", {**values, "timeout_ms": 500}, name="m") as site:
            site.poll_until(lambda: peer.left == 0)
            site.sink.qualities.clear()
            site.poll_until(lambda: site.sink.qualities[-4:] == [Quality.GOOD] * 4)
            assert site.values == RIGHT
    assert site.counters["modbus_exceptions"] == 200
    assert site.counters["source_disconnected"] == site.counters["source_errors"] == 0
    assert len([record for record in caplog.records if "modbus_exceptions" in record.message]) == 1


def test_an_opc_ua_server_that_breaks_the_protocol_is_connected_to_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_components.sensor_reader.sources.opcua.CONNECT_SECONDS", 0.1)
    with Peer(OPC_ANSWERS, lambda _f, _r: b"", opc_length) as peer:
        values = {"url": f"opc.tcp://127.0.0.1:{peer.port}", "nodes": [{"node": "i=2258"}]}
        with ThreadSite("opcua", values, name="o") as site:
            site.poll_until(lambda: peer.left == 0)
            before = site.counters["source_disconnected"]
            site.poll_until(lambda: site.counters["source_disconnected"] > before)
            assert not site.source.health()["connected"]
    assert site.counters["source_errors"] == 0
    assert site.counters["source_disconnected"] > len(OPC_ANSWERS) // 2  # several answers fit into one connection
    assert site.sink.readings == []


def test_only_sources_with_such_an_entry_need_the_libraries() -> None:
    folder = Path(__file__).parents[2] / "edge_components" / "sensor_reader"
    for file in folder.rglob("*.py"):
        lines = [line for line in file.read_text().splitlines() if line.startswith(("import ", "from "))]
        assert not any(name in line for line in lines for name in ("pymodbus", "asyncua", "import serial", "pyarrow"))
