"""Every kind, format and preset, and every way to form windows, from a real peer to a row that the cloud's api returns.

All of them are entries and settings of one deployment.
"""

from __future__ import annotations

import contextlib
import shutil
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cbor2
import pytest

from tests.http_server import http_server

pytest.importorskip("pymodbus")
pytest.importorskip("asyncua")
serial = pytest.importorskip("serial")
import paho.mqtt.client as paho  # noqa: E402 # after the packages that the test needs
from paho.mqtt.enums import CallbackAPIVersion  # noqa: E402

from device_sim.aws.local import LocalCloud  # noqa: E402
from device_sim.greengrass.component_build import Nucleus  # noqa: E402
from device_sim.greengrass.process import NucleusProcess  # noqa: E402
from device_sim.simulation.sensor_broker import find_mosquitto, free_port  # noqa: E402
from edge_components.sensor_reader.entries import kinds  # noqa: E402
from edge_components.sensor_reader.mapping.bindings import preset_names  # noqa: E402
from edge_components.sensor_reader.mapping.settings import format_names  # noqa: E402
from strandline.packaging.components import build_here  # noqa: E402
from tests.integration.source_peers import (  # noqa: E402
    Answers,
    Background,
    Line,
    OpcuaServer,
    modbus_device,
    serving,
)
from tests.integration.test_mqtt_source import mosquitto  # noqa: E402
from tests.unit.sensor_reader.preset_samples import SAMPLES, encoded  # noqa: E402
from tests.unit.sensor_reader.sparkplug_messages import message, metric  # noqa: E402
from tests.unit.sensor_reader.test_sysfs_sources import thermometer, write  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed (apt-get install mosquitto)"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
GATEWAY = "gw-sources"
DEADLINE_S = 120.0
REGISTER = {"name": "flow", "address": 2, "type": "float32", "unit": "m3/h"}
FORMATS: dict[str, tuple[str, dict[str, Any], bytes, str, float]] = {
    "json": ("json/1", {"topic": "json/{d}", "value": ["a", "b"]}, b'{"a": 1.5, "b": true}', "1.a", 1.5),
    "senml+json": (
        "senml/x",
        {"topic": "senml/#"},
        b'[{"bn": "senml-json:", "n": "t", "u": "Cel", "v": 2.5}]',
        "senml-json:t",
        2.5,
    ),
    "senml+cbor": (
        "cbor/x",
        {"topic": "cbor/#"},
        cbor2.dumps([{-2: "senml-cbor:", 0: "t", 2: 3.5}]),
        "senml-cbor:t",
        3.5,
    ),
    "sparkplug": (
        "spBv1.0/g/NBIRTH/n",
        {"topic": "spBv1.0/#"},
        message(metric("T", 4.5), time=None, sequence=0),
        "g.n.T",
        4.5,
    ),
    "dragino": (
        "lora/7",
        {"topic": "lora/{d}", "columns": ["level", "time"], "time_zone": "UTC"},
        b'{"DATALOG": "[6.25,2023-11-14 22:13:10],"}',
        "7.level",
        6.25,
    ),
    "influx": ("influx/x", {"topic": "influx/#"}, b"weather,site=north t=5.5", "weather.north.t", 5.5),
    "csv": ("csv/2", {"topic": "csv/{d}", "decimal_comma": True}, b"t;state\n6,5;1\n", "2.t", 6.5),
    "plain": ("plain/3", {"topic": "plain/{d}", "decimal_comma": True}, b"7,5 kWh", "3", 7.5),
    "raw": ("raw/4", {"topic": "raw/{d}", "layout": ">f"}, struct.pack(">f", 8.5), "4", 8.5),
    "ruuvi": ("ruuvi/5", {"topic": "ruuvi/{d}"}, encoded(SAMPLES["ruuvi"][0][1]), "5.temperature", 24.3),
}
"""A topic, the pattern with its mapping, a payload, and the name and value of one series in it."""

WINDOWS: dict[str, Any] = {
    "series_windows": {"long": 3000, "sliding": {"length_ms": 3000, "hop_ms": 1000}},
    "units": {"converted": {"unit": "degF", "from": "Cel"}},
    "deadbands": {"steady": {"change": 0.5}},
    "statistics": {"counted": ["last", "p50", "p95"]},
}
"""Settings of the aggregator, by globs over the series of DEVICES."""

DEVICES = ("long", "sliding", "converted", "steady", "counted")
"""Devices of the second broker, each of which sends 20, 21 and 22 at once."""

BROKERS = {"dragino": "second", "esphome": "second", "milesight": "third"}
"""The broker of the presets that are not on the first one."""


def fresh(payload: bytes) -> bytes:
    """Return a sample's payload with times of now."""
    now = time.time()
    text = payload.replace(b"1699999990000", b"%d" % (now * 1000)).replace(b"1699999990", b"%d" % now)
    for separator in ("T", " "):
        current = datetime.fromtimestamp(now, UTC).isoformat(separator)[:19]
        text = text.replace(f"2023-11-14{separator}22:13:10".encode(), current.encode())
    return text


def renamed(preset: str, text: str) -> str:
    """Return a topic or a series' name with a device of this preset: several families use one topic."""
    return text.replace("d-1", f"{preset}-1").replace("0102030405060708", f"{preset}-2")


def samples() -> Iterator[tuple[str, str, Any, dict[str, float]]]:
    """Yield preset, topic, payload, and the value of each series that the payload gives."""
    for preset, given in SAMPLES.items():
        for sample in given:
            names = {renamed(preset, name): value for name, value in sample.expected.items()}
            yield preset, renamed(preset, sample.topic), sample.payload, names
    yield (
        "sparkplug",
        "spBv1.0/hall/NBIRTH/node",
        message(metric("Temp", 9.5), time=None, sequence=0),
        {"hall.node.Temp": 9.5},
    )


class Site:
    """A gateway whose reader has an entry for each kind, format and preset, and the peers of these entries."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.expected: dict[str, tuple[str, float | None]] = {}
        """Name and value of one series by what gives it."""
        self.entries: list[dict[str, Any]] = []
        self._folder, self._stack = folder, stack
        self.clients: dict[int, paho.Client] = {}
        self._background = Background()
        stack.callback(self._background.close)
        self._files()
        self._devices()
        self._lines()
        self._brokers()

    def add(self, what: str, series: str, value: float | None, **entry: Any) -> None:
        """Add an entry and the series that shows that it works."""
        self.entries.append(entry)
        self.expected[what] = (series, value)

    def _files(self) -> None:
        folder = self._folder
        thermometer(folder / "w1", "28-0000001", 23_125)
        write(folder / "iio" / "iio:device0", name="bme280\n", in_temp_input="21500\n")
        (folder / "old.csv").write_text(f"timestamp,T\n{time.time():.3f},1.25\n")
        self.add("onewire", "onewire.28-0000001", 23.125, kind="onewire", path=str(folder / "w1"), interval_ms=1000)
        self.add("iio", "iio.bme280.temp", 21.5, kind="iio", path=str(folder / "iio"))
        self.add("host", "host.memory", None, kind="host")
        file, columns = str(folder / "old.csv"), {"T": "oven"}
        self.add("replay", "replay.oven", 1.25, kind="replay", file=file, values=columns, rebase=True, repeat=True)

    def _devices(self) -> None:
        from pymodbus import FramerType
        from pymodbus.server import ModbusTcpServer

        for name, framer in (("tcp", FramerType.SOCKET), ("rtu_over_tcp", FramerType.RTU)):
            port = free_port()

            def make(port: int = port, framer: Any = framer) -> Any:
                return ModbusTcpServer(modbus_device(), framer=framer, address=("127.0.0.1", port))

            self._stack.enter_context(serving(self._background, make))
            keys = {"transport": name, "host": "127.0.0.1", "port": port, "registers": [REGISTER]}
            self.add(f"modbus {name}", f"{name}.flow", 21.5, kind="modbus", prefix=name, **keys)
        opcua = OpcuaServer(self._background)
        self._stack.callback(opcua.close)
        nodes = [{"node": "ns=2;s=Room.Temp", "name": "t", "unit": "Cel"}]
        self.add("opcua", "opcua.t", 4.5, kind="opcua", url=opcua.url, nodes=nodes)
        url = self._stack.enter_context(http_server(Answers)) + "/stored"
        Answers.content["/stored"] = (200, b'{"tank": {"level": 77.5}}')
        self.add("http", "http.tank.level", 77.5, kind="http", url=url, interval_ms=500)

    def _lines(self) -> None:
        from pymodbus.server import ModbusSerialServer

        bus, scale = Line(), Line()
        self._stack.callback(bus.close)
        self._stack.callback(scale.close)
        make = lambda: ModbusSerialServer(modbus_device(), port=bus.first, baudrate=115_200)  # noqa: E731
        self._stack.enter_context(serving(self._background, make))
        keys = {"transport": "rtu", "device": bus.second, "baudrate": 115_200, "registers": [REGISTER]}
        self.add("modbus rtu", "rtu.flow", 21.5, kind="modbus", prefix="rtu", **keys)
        self.scale = self._stack.enter_context(serial.Serial(scale.first))
        pattern = r"W=(?P<weight>\S+)"
        self.add("serial", "serial.weight", 81.5, kind="serial", device=scale.second, pattern=pattern)

    def _brokers(self) -> None:
        """Start brokers; presets whose topics match the same payloads have one each."""
        ports = {name: self._broker(name) for name in ("first", "second", "third")}
        self.ports = {preset: ports[BROKERS.get(preset, "first")] for preset in preset_names()}
        self.ports |= {"formats": ports["second"], "old": ports["first"], "web": self._broker("web")}
        self.entries += [
            {"name": preset, "kind": "mqtt", "port": self.ports[preset], "preset": preset} for preset in preset_names()
        ]
        for preset, _topic, _payload, names in samples():
            for series, value in list(names.items())[:1]:
                self.expected.setdefault(f"preset {preset}", (series, value))
        topics = [{"format": name, **keys} for name, (_topic, keys, *_rest) in FORMATS.items()]
        self.entries.append({"name": "formats", "kind": "mqtt", "port": self.ports["formats"], "topics": topics})
        self.expected |= {f"format {name}": (series, value) for name, (*_, series, value) in FORMATS.items()}
        keys = {"kind": "mqtt", "topics": ["old/{device}"], "version": "3.1.1"}
        self.add("mqtt 3.1.1", "by-3.1.1", 1.0, port=self.ports["old"], **keys)
        self.entries.append(
            {"name": "windows", "kind": "mqtt", "port": self.ports["formats"], "topics": ["w/{device}"]}
        )
        keys = {"kind": "mqtt", "topics": ["web/{device}"], "transport": "websockets"}
        self.add("mqtt websockets", "by-web", 2.0, port=self.web_port, **keys)

    def _broker(self, name: str) -> int:
        lines = ["allow_anonymous true"]
        if name == "web":
            self.web_port = free_port()
            lines += [f"listener {self.web_port} 127.0.0.1", "protocol websockets"]
        port = self._stack.enter_context(mosquitto(self._folder / name, *lines))
        client = self.clients[port] = paho.Client(CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", port)
        client.loop_start()
        self._stack.callback(client.loop_stop)
        self._stack.callback(client.disconnect)
        return port

    def _publish(self, to: str, topic: str, payload: bytes) -> None:
        self.clients[self.ports[to]].publish(topic, payload, 1)

    def send(self) -> None:
        """Have every peer that sends by itself send once."""
        for preset, topic, payload, _names in samples():
            self._publish(preset, topic, fresh(encoded(payload)))
        for topic, _keys, payload, _series, _value in FORMATS.values():
            self._publish("formats", topic, fresh(payload))
        for device in DEVICES:
            for value in (20.0, 21.0, 22.0) if device != "steady" else (20.0, 20.1, 20.2):
                self._publish("formats", f"w/{device}", b"%.1f" % value)
        self._publish("old", "old/by-3.1.1", b"1")
        self._publish("web", "web/by-web", b"2")
        self.scale.write(b"W=81.5\r\n")

    @property
    def merged(self) -> Mapping[str, Mapping[str, Any]]:
        """The configuration of the components."""
        entries = [{"name": entry.get("prefix", entry["kind"]), **entry} for entry in self.entries]
        for at, entry in enumerate(entries):
            if any(entry["name"] == other["name"] for other in entries[:at]):
                entry["name"] += f"-{at}"
        return {
            "io.strandline.Runtime": {"extras": "modbus,opcua,serial"},
            "io.strandline.SensorReader": {"sources": entries, "max_age_ms": 200},
            "io.strandline.Aggregator": {"window_ms": 1000, "idle_timeout_ms": 500, "silence_ms": 2000, **WINDOWS},
            "io.strandline.Forwarder": {"batch_max_age_s": 0.5, "notice_interval_s": 0, "commit_ms": 100},
        }


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, LocalCloud, set[str]]]:
    """Run everything until the cloud has a row of each expected series, or the deadline has passed."""
    folder = tmp_path_factory.mktemp("stored")
    with contextlib.ExitStack() as stack:
        site = Site(folder, stack)
        built = build_here(folder / "build", Nucleus.JAVA)
        cloud = stack.enter_context(LocalCloud.start(folder / "cloud"))
        credentials = cloud.provision_gateway(GATEWAY)
        started = NucleusProcess.start(
            folder / "gateway",
            GATEWAY,
            built.recipes,
            built.artifacts,
            built.versions,
            merge=site.merged,
            region=cloud.region,
            iot=credentials,
        )
        nucleus = stack.enter_context(started)
        wanted = {name for *_sample, names in samples() for name in names}
        wanted |= {series for series, _value in site.expected.values()}
        found: set[str] = set()
        end = time.monotonic() + DEADLINE_S
        while not wanted <= found and time.monotonic() < end:
            assert nucleus.alive, nucleus.logs
            site.send()
            time.sleep(1.0)
            status, body = cloud.call_api("GET", f"/v1/gateways/{GATEWAY}/series?limit=5000")
            found = {one["series"] for one in body["items"]} if status == 200 else set()
        if wanted - found:
            shutil.copytree(nucleus.logs, folder / "logs", dirs_exist_ok=True)
        yield site, cloud, found


def expected() -> list[str]:
    """Return what must have given a stored row."""
    transports = ["modbus tcp", "modbus rtu", "modbus rtu_over_tcp", "mqtt 3.1.1", "mqtt websockets"]
    rest = [kind for kind in kinds() if kind not in ("modbus", "mqtt")]
    presets, formats = (f"preset {name}" for name in preset_names()), (f"format {name}" for name in format_names())
    return [*transports, *rest, *presets, *formats]


@pytest.mark.source_quality("stored", "*")
@pytest.mark.parametrize("what", expected())
def test_a_row_is_stored_and_the_api_returns_it(stored: tuple[Site, LocalCloud, set[str]], what: str) -> None:
    site, cloud, found = stored
    assert what in site.expected, f"{what} has no entry in Site, or no payload in FORMATS"
    series, value = site.expected[what]
    assert series in found
    status, body = cloud.call_api(
        "GET", f"/v1/gateways/{GATEWAY}/aggregates?series={quote(series, safe='')}&resolution=raw"
    )
    assert status == 200, body
    columns = body["columns"]
    rows = list(zip(columns["count"], columns["min"], columns["max"], strict=True))
    with_values = [(low, high) for count, low, high in rows if count]
    assert with_values
    assert value is None or any(low <= value + 1e-6 and value - 1e-6 <= high for low, high in with_values)


def test_every_series_of_every_preset_s_samples_is_stored(stored: tuple[Site, LocalCloud, set[str]]) -> None:
    _site, _cloud, found = stored
    wanted = {name for *_sample, names in samples() for name in names}
    assert sorted(wanted - found) == []
    # Two families that send one topic are two devices here: no series got a name of its own for a collision.
    assert [name for name in found if name.partition(":")[0] in wanted and name not in wanted] == []


Row = dict[str, float]


def stored_rows(
    stored: tuple[Site, LocalCloud, set[str]], series: str, enough: Callable[[list[Row]], bool]
) -> list[Row]:
    """Send until the cloud has enough rows with readings of a series, and return them by start."""
    site, cloud, _found = stored
    end, rows = time.monotonic() + DEADLINE_S, list[Row]()
    path = f"/v1/gateways/{GATEWAY}/aggregates?series={quote(series, safe='')}&resolution=raw"
    while not enough(rows) and time.monotonic() < end:
        site.send()
        time.sleep(1.0)
        status, body = cloud.call_api("GET", path)
        if status == 200:
            columns = body["columns"]
            every = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
            rows = sorted((row for row in every if row["count"]), key=lambda row: row["start_ms"])
    return rows


@pytest.mark.parametrize(("series", "width", "hop"), [("long", 3000, 3000), ("sliding", 3000, 1000)])
def test_windows_of_another_length_are_stored(
    stored: tuple[Site, LocalCloud, set[str]], series: str, width: int, hop: int
) -> None:
    rows = stored_rows(stored, series, lambda rows: len(rows) > 2)
    assert {row["width_ms"] for row in rows} == {width}
    assert {row["start_ms"] % hop for row in rows} == {0}
    steps = {after["start_ms"] - before["start_ms"] for before, after in pairwise(rows)}
    assert min(steps) == hop


def test_converted_values_are_stored_with_their_unit(stored: tuple[Site, LocalCloud, set[str]]) -> None:
    rows = stored_rows(stored, "converted", lambda rows: len(rows) > 0)
    assert rows[0]["min"] == pytest.approx(68.0)
    assert rows[0]["max"] == pytest.approx(71.6)
    _status, body = stored[1].call_api("GET", f"/v1/gateways/{GATEWAY}/series?limit=5000")
    assert [one["unit"] for one in body["items"] if one["series"] == "converted"] == ["degF"]


def test_a_series_within_its_deadband_has_one_row_and_its_windows_are_no_gaps(
    stored: tuple[Site, LocalCloud, set[str]],
) -> None:
    assert len(stored_rows(stored, "by-web", lambda rows: len(rows) > 2)) > 2
    (row,) = stored_rows(stored, "steady", lambda rows: len(rows) > 0)
    assert row["count"] >= 1  # the first window may begin within one
    assert row["max"] <= 20.2


@pytest.mark.parametrize(("statistic", "value"), [("last", 22.0), ("p50", 21.0), ("p95", 22.0)])
def test_statistics_are_stored_as_series(
    stored: tuple[Site, LocalCloud, set[str]], statistic: str, value: float
) -> None:
    rows = stored_rows(stored, f"counted:{statistic}", lambda rows: len(rows) > 0)
    windows = {row["start_ms"]: row for row in stored_rows(stored, "counted", lambda rows: len(rows) > 0)}
    assert value in {row["mean"] for row in rows}
    assert all(row["mean"] == row["min"] == row["max"] and row["std"] == 0 for row in rows)
    assert all(row["count"] == windows[row["start_ms"]]["count"] for row in rows if row["start_ms"] in windows)
