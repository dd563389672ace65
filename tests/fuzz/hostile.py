"""Inputs designed to use excessive time or memory, by target: compression bombs, deep nesting, huge numbers and
counts."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Mapping

from tests.fuzz.targets import envelope
from wire import container
from wire.container import Coder, Kind

DEEP = b"[" * 100_000
NINES = b"9" * 1_000_000


def batch_of(content: bytes, kind: Kind = Kind.AGGREGATES, coder: Coder = Coder.DEFLATE) -> bytes:
    """Return a batch with a valid checksum and arbitrary content of any size."""
    if coder is Coder.MODEL:
        size, stream = container.join(content, b"\xff" * 4_000)
    else:
        size, stream = len(content), container.PACK[coder](content)
    return container.seal("gw-1", 5, 7, container.pack(kind, coder, size, stream), 10**9)


def wrong_size(content: bytes, size: int) -> bytes:
    """Return a batch with a valid checksum and an incorrect decompressed size."""
    packed = container.pack(Kind.READINGS, Coder.DEFLATE, size, container.deflate(content))
    return container.seal("gw-1", 5, 7, packed, 10**9)


def announced_frame(total: int, headers: int) -> bytes:
    """Return the start of an event-stream frame with the given lengths and a valid prelude checksum."""
    lengths = struct.pack(">II", total, headers)
    return lengths + zlib.crc32(lengths).to_bytes(4, "big") + bytes(1_000)


def aliases(levels: int) -> bytes:
    """Return YAML in which each line refers to the previous one four times, which expands to 4 ** ``levels`` nodes."""
    lines = [b"a: &a [x, x]"]
    for at in range(98, 98 + levels):
        before = b"*%c" % (at - 1)
        lines.append(b"%c: &%c [%s]" % (at, at, b", ".join([before] * 4)))
    return b"\n".join(lines)


HOSTILE: Mapping[str, tuple[bytes, ...]] = {
    "wire": (
        *(
            batch_of(content, kind, coder)
            for content in (bytes(8_000_000), bytes(50_000_000), b"\xff" * 1_000_000, b"\x7f" * 100_000)
            for kind in (Kind.READINGS, Kind.AGGREGATES)
            for coder in (Coder.DEFLATE, Coder.LZMA1)
        ),
        *(
            batch_of(content, kind, Coder.MODEL)
            for content in (bytes(8_000_000), b"\xff" * 100_000, b"\x7f" * 10_000)
            for kind in (Kind.READINGS, Kind.AGGREGATES)
        ),
        wrong_size(bytes(50_000_000), 100),
        wrong_size(bytes(100), 8_000_000),
        batch_of(DEEP, Kind.ANOMALIES),
        batch_of(b'{"time_ms": ' + NINES + b"}", Kind.NOTICE),
        b"SL" + bytes(1_000_000),
    ),
    "wire-profile": (
        batch_of(bytes(8_000_000), Kind.PROFILE),
        batch_of(b"\xff" * 1_000_000, Kind.PROFILE),
        batch_of(b"\x7f" * 100_000, Kind.PROFILE),
    ),
    "acknowledgement": (
        DEEP,
        b'{"v":1,"epoch":"0","cumulative":' + NINES + b',"ranges":[]}',
        b'{"v":1,"epoch":"' + NINES + b'","cumulative":0,"ranges":[]}',
        b'{"v":1,"epoch":"0","cumulative":0,"ranges":' + json.dumps([[1, 1]] * 100_000).encode() + b"}",
    ),
    "eventstream": (
        struct.pack(">II", 2**32 - 1, 0) + bytes(1_000),
        bytes(1_000_000),
        announced_frame(2**32 - 1, 0),
        announced_frame(16_000_000, 15_999_000),
        announced_frame(16_000_000, 100),
    ),
    "recipe": (
        DEEP[:16_000],
        aliases(20),
        b"x: " + NINES[:15_000],
        b"- " * 8_000,
        b"{" * 16_000,
        b"ComponentVersion: " + b"1" * 10_000,
        NINES,
    ),
    "configuration-reader": (
        json.dumps({"series": {str(number): {} for number in range(50_000)}}).encode(),
        json.dumps({"sources": [{"name": "a", "kind": "mqtt", "topics": ["{a}/" * 50_000]}]}).encode(),
        json.dumps({"sources": [{"name": "a", "kind": "mqtt", "topics": ["{a}"] * 50_000}]}).encode(),
        json.dumps({str(number): number for number in range(50_000)}).encode(),
    ),
    "configuration-forwarder": (
        b'{"in_flight": "' + NINES + b'"}',
        b'{"send_per_s": "1e' + NINES[:100_000] + b'"}',
        b'{"ack": "' + NINES + b'"}',
    ),
    "mqtt-payload": (
        DEEP,
        NINES,
        b'{"value": ' + NINES[:400] + b"}",
        b'{"value": 1, "time": ' + NINES[:4_000] + b"}",
        b'{"value": 1, "time": "' + NINES + b'"}',
        b'{"value": 1, "quality": "' + NINES + b'"}',
        b'{"value":' * 50_000,
    ),
    "ingest-envelope": (
        DEEP,
        envelope(batch_of(bytes(50_000_000))),
        envelope(b"", "/" * 100_000),
        envelope(b"", client="x" * 250_000),
        json.dumps({"data": base64.b64encode(bytes(190_000)).decode()}).encode(),
    ),
    "ingest-function": (DEEP, envelope(batch_of(bytes(8_000_000))), NINES[:250_000]),
    "http-telemetry": (
        DEEP,
        b'{"id": ' + NINES + b"}",
        b'{"id": "' + NINES + b'"}',
        json.dumps({"readings": [{}] * 100_000}).encode(),
    ),
    "format-json": (
        DEEP,
        b'{"a":' * 50_000,
        json.dumps({str(at): at for at in range(20_000)}).encode(),
        NINES,
        json.dumps([[[[1] * 50] * 50] * 20]).encode(),
    ),
    "format-senml+json": (
        DEEP,
        json.dumps([{"n": "a", "v": 1}] * 5_000).encode(),
        b'[{"bn": "' + b"x" * 200_000 + b'", "n": "y", "v": 1}]',
    ),
    "format-senml+cbor": (
        b"\x81" * 100_000,
        b"\x9f" * 100_000,
        b"\xbf\x00" * 50_000,
        b"\x9b" + b"\xff" * 8,
        b"\x9a\xff\xff\xff\xff" + bytes(1_000),
        b"\xbb" + b"\x7f" * 8 + bytes(1_000),
        b"\x5b" + b"\x7f" * 8,
        b"\x7f" + b"\x78\xff" + b"a" * 255,
        b"\x5f" * 100_000,
        b"\x9f" + b"\xa2\x00\x61a\x02\x01" * 40_000 + b"\xff",
        b"\x82\xa2\x00\x61a\x02\xc4\x82\x3a\x7f\xff\xff\xff\x01",
        b"\x81\xa2\x00\x61a\x02\xc4\x82\x19\xff\xff\x1b" + b"\xff" * 8,
    ),
    "format-sparkplug": (
        b"\x12" + b"\xff" * 9 + b"\x01",
        b"\x12\xff\xff\xff\xff\x07" + bytes(1_000),
        b"\x12\x00" * 100_000,
        (b"\x12\x0c\x0a\x01a\x20\x0a\x69" + bytes(8)) * 20_000,
        b"\x80" * 200_000,
        b"\x12\x84\x80\x06\x0a\x80\x80\x06" + b"a" * 98_304,
        b"\x00" * 100_000,
    ),
    "format-influx": (
        b"a," + b"b=c," * 20_000,
        b"a b=1," * 20_000,
        b"\\" * 100_000,
        b'a b="' + b'\\"' * 50_000,
        b"a b=1\n" * 10_000,
        b"a" * 200_000 + b" b=1",
    ),
    "format-csv": (b";" * 200_000, b"a\n" * 10_000, b'"' * 200_000, (b"a;" * 500 + b"\n") * 20, NINES),
    "format-plain": (NINES, b"1," * 100_000, b" " * 200_000, b"1e" + NINES, b"." * 200_000),
    "format-raw": (bytes(1_000_000),),
    "format-ruuvi": (DEEP, b'{"data": "' + b"ff9904" * 100_000 + b'"}', b'{"data": "' + b"0" * 300_000 + b'"}'),
    "mqtt-broker-5": (
        b"\x32\xff\xff\xff\x7f" + bytes(300_000),
        b"\x30\0" * 100_000,
        b"\x90\xff\xff\xff\x7f" + bytes(1000),
    ),
    "websocket": (b"\x82\x7f" + b"\x7f" * 8 + bytes(300_000), b"\x89\0" * 50_000, b"\x82\0" * 100_000),
    "modbus-registers": (b"\xff" * 1_000, bytes(30_000)),
    "mqtt-packet": (b"\x30" + b"\xff" * 100, b"\x30\xa0\x8d\x06" + bytes(200_000)),
}
