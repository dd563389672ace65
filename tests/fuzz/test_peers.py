"""Answers of a device or server never end the source: counted, logged, connected again."""

from __future__ import annotations

import logging
import os
import pty
import random
import tty
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pymodbus")
pytest.importorskip("asyncua")
from tests.fuzz.hostile_peers import (  # needs the packages
    HTTP_ANSWERS,
    OPC_ANSWERS,
    Framing,
    Peer,
    http_length,
    http_right,
    opc_length,
    rtu_length,
    tcp_length,
)
from tests.unit.sensor_reader.test_sysfs_sources import thermometer, write
from tests.unit.sensor_reader.thread_site import ThreadSite
from wire.model import Quality

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
REGISTERS = [{"name": name, "address": at} for at, name in enumerate("abcd")]
RIGHT = {"m.a": 1234.0, "m.b": 0.0, "m.c": 65_535.0, "m.d": 7.0}


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_components.sensor_reader.source_thread.FIRST_RETRY_S", 0.01)
    monkeypatch.setattr("edge_components.sensor_reader.source_thread.LONGEST_RETRY_S", 0.01)


@pytest.mark.source_quality("hangs", "modbus")
@pytest.mark.source_quality("malformed", "modbus")
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


@pytest.mark.source_quality("qualities", "modbus")
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


@pytest.mark.source_quality("hangs", "opcua")
@pytest.mark.source_quality("malformed", "opcua")
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


@pytest.mark.source_quality("hangs", "http")
@pytest.mark.source_quality("malformed", "http")
def test_a_web_server_that_breaks_the_protocol_is_requested_again() -> None:
    with Peer(HTTP_ANSWERS, http_right, http_length) as peer:
        values = {"url": f"http://127.0.0.1:{peer.port}/", "interval_ms": 100, "timeout_ms": 100}
        with ThreadSite("http", values, name="h") as site:
            site.poll_until(lambda: peer.left == 0)
            site.sink.readings.clear()
            site.poll_until(lambda: site.values == {"h.v": 5.0})
            assert site.source.health()["connected"]
    assert site.counters["source_errors"] == 0
    failed = site.counters["http_failed"] + len(site.sink.rejected)
    assert failed > len(HTTP_ANSWERS) // 2


@pytest.mark.source_quality("malformed", "serial")
def test_a_serial_device_that_sends_noise_is_read_on() -> None:
    pytest.importorskip("serial")
    rng = random.Random(1)
    noise = [
        *(rng.randbytes(size).replace(b"\n", b"x") for size in (1, 100, 10_000)),
        *(b"\0" * 5_000, b"\xff" * 5_000, b"9" * 5_000, b"1e999", b"nan", b"-", b"5" + b"\xcc\x81" * 500, b"\r\r"),
    ]
    master, slave = pty.openpty()
    try:
        tty.setraw(slave)
        with ThreadSite("serial", {"device": os.ttyname(slave)}, name="line") as site:
            site.poll_until(lambda: site.source.health() == {"connected": True})
            for one in noise:
                for at in range(0, len(one), 1_000):  # as much as a terminal takes at once
                    os.write(master, one[at : at + 1_000])
                    site.poll_until(lambda: True)
                before = len(site.sink.readings)
                os.write(master, b"\n7.5\n")
                site.poll_until(lambda before=before: len(site.sink.readings) > before)  # type: ignore[misc]
                assert site.values == {"line": 7.5}
            assert site.source.health() == {"connected": True}
    finally:
        os.close(master)
        os.close(slave)
    assert site.counters["source_errors"] == site.counters["source_disconnected"] == 0


ODD_FILES = (b"", b"\xff\xfe", b"nan", b"inf", b"1e999", b"9" * 5_000, b"t=" + b"9" * 5_000, b"\0" * 100, b"-")


@pytest.mark.source_quality("malformed", "iio", "onewire")
@pytest.mark.parametrize("kind", ["iio", "onewire"])
def test_a_sensor_whose_file_has_anything_does_not_disturb_another(kind: str, tmp_path: Path) -> None:
    for at, content in enumerate(ODD_FILES):
        if kind == "iio":
            write(tmp_path / f"iio:device{at}", name=f"odd{at}\n")
            (tmp_path / f"iio:device{at}" / "in_temp_input").write_bytes(content)
        else:
            write(tmp_path / f"28-{at:07}")
            (tmp_path / f"28-{at:07}" / "w1_slave").write_bytes(b"72 01 : crc=57 YES\n72 01 " + content + b"\n")
    write(tmp_path / "iio:device99", name="good\n", in_temp_input="21500\n")
    thermometer(tmp_path, "28-9999999", 21_500)
    good = "s.good.temp" if kind == "iio" else "s.28-9999999"
    with ThreadSite(kind, {"path": str(tmp_path)}) as site:
        site.poll_until(lambda: good in site.values)
        assert site.values == {good: 21.5}
        assert site.source.health() == {"connected": True}
    assert site.counters["source_errors"] == 0
