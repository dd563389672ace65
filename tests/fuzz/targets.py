"""Fuzz targets: parsers of bytes, each with the exceptions that it may raise and valid seed inputs."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from cloud_functions.core.arrival import open_envelope, read_envelope
from cloud_functions.core.errors import CloudError
from cloud_functions.core.ingest import Ingest
from cloud_functions.core.storing import Storer
from cloud_functions.core.telemetry import read_telemetry
from cloud_functions.rest.request import read_json
from device_sim.chaos.errors import PacketError
from device_sim.chaos.packets import Framer, publish
from device_sim.greengrass import eventstream, recipe, recipes
from device_sim.greengrass.errors import EventStreamError, RecipeError
from device_sim.greengrass.profile import PROFILES
from device_sim.paths import SOURCE_TREE
from edge_components.aggregator.config import Config as AggregatorConfig
from edge_components.anomaly_detector.config import Config as DetectorConfig
from edge_components.common.config import load
from edge_components.common.errors import ConfigError
from edge_components.forwarder.config import Config as ForwarderConfig
from edge_components.sensor_reader.config import Config as ReaderConfig
from edge_components.sensor_reader.errors import ProtocolError, RejectedError
from edge_components.sensor_reader.mapping.bindings import read_bindings
from edge_components.sensor_reader.mapping.decoder import Decoder
from edge_components.sensor_reader.modbus_registers import TYPES, plan, read_registers, value_of
from edge_components.sensor_reader.mqtt.packets import PacketReader
from edge_components.sensor_reader.mqtt.websocket import FrameReader
from edge_components.sensor_reader.payloads import PayloadParser
from edge_components.sensor_reader.timestamps import event_time_ms
from tests.unit.cloud.fakes import NOW_MS, FakeAcknowledger, FakeDeadLetterSink, FakeTable
from wire import codec, profile
from wire.acknowledgement import Acknowledgement
from wire.container import Coder
from wire.errors import WireError
from wire.limits import MAX_VALUE
from wire.model import Aggregates, Anomalies, Anomaly, Batch, Notice, Phase, Readings, Series

START_MS = 1_750_000_000_000


@dataclass(frozen=True)
class Target:
    """One fuzz target: ``call`` may raise only ``errors`` for any input; ``seeds`` are accepted inputs.

    ``reseal`` corrects the checksums of a changed input, so that the code after their verification is reached.
    """

    name: str
    call: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]
    reseal: Callable[[bytes], bytes] | None = None


def aggregates(rows: int) -> Aggregates:
    """Return rows of two series."""
    values = np.linspace(20.0, 21.0, rows)
    times = START_MS + 10_000 * np.arange(rows, dtype=np.int64)
    return Aggregates(
        (Series("pump-1.temperature", "Cel", 0.1), Series("pump-1.current", "A")),
        np.arange(rows, dtype=np.int64) % 2,
        times,
        np.full(rows, 10_000, np.int64),
        np.full(rows, 50, np.int64),
        values,
        values - 1,
        values + 1,
        np.abs(values) / 10,
        np.full(rows, np.nan),
    )


def readings(rows: int) -> Readings:
    """Return readings of one series."""
    times = START_MS + 100 * np.arange(rows, dtype=np.int64)
    return Readings((Series("a.b"),), np.zeros(rows, np.int64), times, np.sin(times / 1e4), np.zeros(rows, np.uint8))


ANOMALY = Anomaly("pump-1.temperature", Phase.ONSET, START_MS, START_MS + 1000, 2.5, "spike", causes={"spike": 2.5})
BATCHES = tuple(
    codec.encode(Batch("gw-1", 5, 7, rows), 7_000, coders=frozenset({coder}))
    for rows in (aggregates(40), readings(60))
    for coder in Coder
) + tuple(
    codec.encode(Batch("gw-1", 5, 7, rows), 7_000)
    for rows in (Anomalies((ANOMALY,)), Notice(START_MS, {"Forwarder": {"late": 3}}))
)
PROFILE = codec.encode_profile("gw-1", 5, 8, profile.learn(aggregates(40), 3))


def resealed_batch(data: bytes) -> bytes:
    """Return a possible batch with a correct CRC32."""
    import zlib

    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little") if len(data) > 4 else data


FRAME = eventstream.encode(
    eventstream.Frame((eventstream.int32(":message-type", 0), eventstream.text("operation", "x")), b'{"a": 1}')
)


def resealed_frame(data: bytes) -> bytes:
    """Return a possible event-stream frame with correct lengths and checksums."""
    import zlib

    if len(data) < 16:
        return data
    headers = int.from_bytes(data[4:8], "big") % (len(data) - 15)
    start = len(data).to_bytes(4, "big") + headers.to_bytes(4, "big")
    body = start + zlib.crc32(start).to_bytes(4, "big") + data[12:-4]
    return body + zlib.crc32(body).to_bytes(4, "big")


def _frames(data: bytes) -> None:
    decoder = eventstream.Decoder()
    decoder.feed(data)
    decoder.feed(b"")


def _recipe(data: bytes) -> None:
    here = recipe.Platform("linux", "amd64")
    for nucleus in PROFILES.values():
        recipes.parse(data, "fuzz.yaml", nucleus, here)


def _configuration(kind: type[Any]) -> Callable[[bytes], None]:
    def call(data: bytes) -> None:
        try:
            values = json.loads(data)
        except (ValueError, RecursionError):
            return
        if isinstance(values, dict):
            load(kind, values)

    return call


_PARSER = PayloadParser("value", "time", "quality")


def _payload(data: bytes) -> None:
    parsed = _PARSER.parse(data)
    event_time_ms(parsed.time, START_MS, 86_400_000)


def _envelope(data: bytes) -> None:
    open_envelope(read_envelope(data.decode("utf-8", "replace")), check_client=True)


def envelope(batch: bytes, topic: str = "strandline/v1/gw-1/bulk", client: str = "gw-1") -> bytes:
    """Return the envelope that the topic rule sends for a batch."""
    data = base64.b64encode(batch).decode()
    return json.dumps({"data": data, "topic": topic, "client": client, "received_at": START_MS}).encode()


def _ingest(data: bytes) -> None:
    """Run the ingest function on fakes: each message must be stored or become a dead letter, without an exception."""
    table, letters, acknowledger = FakeTable(), FakeDeadLetterSink(), FakeAcknowledger()
    storer = Storer(table, lambda: NOW_MS, 1000)
    ingest = Ingest(table, storer, acknowledger, letters, lambda: NOW_MS, _SILENT)
    ingest.accept("1", data.decode("utf-8", "replace"))
    if ingest.finish():
        raise AssertionError("the message was not processed although the table works")
    if len(letters.kept) + len([item for item in table.items.values() if item["kind"] == "batch"]) != 1:
        raise AssertionError("the message is neither stored nor a dead letter")


READER = json.dumps(
    {
        "sources": [{"name": "a", "kind": "mqtt", "port": 1, "topics": ["a/{b}"]}, {"name": "h", "kind": "host"}],
        "series": {"a*": {"unit": "A"}},
    }
).encode()
_SPARKPLUG = bytes.fromhex("08c0fbc6d0bc31120c0a0474656d70200a69000000000000354018 00".replace(" ", ""))
FORMAT_SEEDS: dict[str, tuple[bytes, ...]] = {
    "json": (b'{"a": 1.5, "b": {"c": "21,5 C"}, "time": 1750000000000, "on": true}', b'[{"v": 1}, {"v": null}]'),
    "senml+json": (b'[{"bn": "a:", "bt": 1750000000, "n": "t", "v": 1.5}, {"n": "u", "t": -5, "vb": true}]',),
    "senml+cbor": (bytes.fromhex("81a3216361 3a7822fb41da1d2f00000000006174 02f93e00".replace(" ", "")),),
    "sparkplug": (_SPARKPLUG,),
    "influx": (b"weather,place=north temp=21.5,count=3i,ok=t 1750000000000000000",),
    "csv": (b"time;temp;state\n2025-01-01T00:00Z;21,5;1\n",),
    "plain": (b"21.5 Cel", b"1.5;2"),
    "raw": (bytes(8), b"\x40\x35" + bytes(6)),
    "dragino": (b'{"Node_type": "S31-LB", "BatV": 3.5, "DATALOG": "[19.5,61.2,Low,False,2023-11-14 21:53:20],"}',),
    "ruuvi": (b'{"data": "0201061BFF99040512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F", "ts": "1750000000"}',),
}


def _format(name: str) -> Callable[[bytes], None]:
    """Return a function that decodes a payload of one format, with its names and times."""
    values = {"topics": [{"topic": "spBv1.0/{a}/{b}/{c}", "format": name, "decimal_comma": True}]}
    keys = {"value": ["**"]} if name in ("json", "dragino") else {}
    (binding,) = read_bindings({**values, **keys}, [])
    decoder = Decoder(binding)

    def read(data: bytes) -> None:
        topic = "spBv1.0/g/NDATA/n"
        columns = decoder.decode([topic.encode()], [data])
        for field, value, time in zip(columns.fields, columns.values, columns.times, strict=True):
            if not abs(value) <= MAX_VALUE:
                raise AssertionError(value)
            with contextlib.suppress(RejectedError):
                decoder.name(topic, field)
            with contextlib.suppress(RejectedError):
                decoder.times.one(time, START_MS)

    return read


def _packets(properties: bool, data: bytes) -> None:
    PacketReader(1_000, properties).feed(data)


def _modbus(data: bytes) -> None:
    """Read registers of every type from the words of an answer of any length."""
    words = [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
    for request in _REQUESTS:
        for register in request.registers:
            value_of(register, request, words)


_REQUESTS = plan(
    read_registers([{"name": name, "address": 4 * at, "type": name} for at, name in enumerate(TYPES)]), 1, 1000
)
_REGISTERS = bytes(8 * len(TYPES))
_SILENT = logging.getLogger("fuzz.silent")
_SILENT.disabled = True
_TELEMETRY = {"id": "a-1", "gateway": "gw-1", "readings": [{"series": "a.b", "time": START_MS, "value": 1.5}]}


def _telemetry(data: bytes) -> None:
    read_telemetry(read_json(data), START_MS, None, data)


TARGETS = (
    Target("wire", codec.decode, (WireError,), BATCHES, resealed_batch),
    Target("wire-profile", codec.decode_profile, (WireError,), (PROFILE,), resealed_batch),
    Target(
        "acknowledgement",
        Acknowledgement.decode,
        (WireError,),
        (Acknowledgement(3, 5, ((7, 9), (11, 11))).encode(),),
    ),
    Target("eventstream", _frames, (EventStreamError,), (FRAME, FRAME + FRAME), resealed_frame),
    Target(
        "recipe",
        _recipe,
        (RecipeError,),
        tuple(file.read_bytes() for file in sorted((SOURCE_TREE / "recipes").glob("*.yaml"))),
    ),
    *(
        Target(f"configuration-{name}", _configuration(kind), (ConfigError,), (b"{}", *seeds))
        for name, kind, seeds in (
            ("reader", ReaderConfig, (READER,)),
            ("aggregator", AggregatorConfig, (b'{"window_ms": "1000", "ranges": {"a*": [0, 1.5]}}',)),
            ("detector", DetectorConfig, (b'{"calibration_windows": 20}',)),
            ("forwarder", ForwarderConfig, (b'{"ack": "cloud", "batch_max_age_s": "2.5", "in_flight": 3}',)),
        )
    ),
    Target(
        "mqtt-payload",
        _payload,
        (RejectedError,),
        (b'{"value": 1.5, "time": 1750000000000}', b'{"value": -1, "quality": 2, "time": "2025-01-01T00:00Z"}'),
    ),
    *(Target(f"format-{name}", _format(name), (), seeds) for name, seeds in FORMAT_SEEDS.items()),
    Target("ingest-envelope", _envelope, (CloudError,), tuple(map(envelope, BATCHES))),
    Target("ingest-function", _ingest, (), tuple(map(envelope, BATCHES))),
    Target("http-telemetry", _telemetry, (CloudError,), (json.dumps(_TELEMETRY).encode(),)),
    *(
        Target(f"mqtt-broker-{name}", partial(_packets, properties), (ProtocolError,), seeds)
        for name, properties, seeds in (
            ("3.1.1", False, (publish("a/b", b"c"), publish("a/b", bytes(3_000)), b"\x90\3\0\1\0")),
            ("5", True, (b"\x32\x09\0\3a/b\0\7\0x", b"\x30\x0b\0\3a/b\5\3\0\2abx")),
        )
    ),
    Target("websocket", lambda data: FrameReader().feed(data), (ProtocolError,),
           (b"\x82\3abc\x89\1x", b"\x82\x7e\1\0" + bytes(256))),
    Target("modbus-registers", _modbus, (RejectedError,), (_REGISTERS,)),
    Target("mqtt-packet", lambda data: list(Framer(100_000).feed(data)), (PacketError,), (publish("a/b", b"c"),)),
)  # fmt: skip
