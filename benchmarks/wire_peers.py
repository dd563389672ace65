"""Other formats for the same rows, each used as favourably as possible: values rounded to the precision that the
wire format states (mean to a tenth of the resolution, deviation and score to three digits), names once where it can.
Those that know integers (Avro, Parquet, Arrow, Pcodec) get the very integers of the wire format, which makes them two
to three times smaller than with doubles.

The peers come with ``pip install -e .[bench]``. Sparkplug B is written here by hand by its protobuf schema (a
metric a value, by alias, as after a birth certificate): the protobuf compiler would make the same bytes.
"""

from __future__ import annotations

import io
import json
import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cbor2
import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pcodec import ChunkConfig, DeltaSpec, standalone

from wire.model import Aggregates, Readings

Column = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Table:
    """Rows as a peer takes them: the series of each, and columns of rounded values; ``whole`` the same as integers."""

    names: list[str]
    index: Column
    columns: dict[str, Column]
    whole: dict[str, Column]


def table(rows: Aggregates | Readings) -> Table:
    """Return the rows rounded to the stated precision, series by series."""
    times = rows.start_ms if isinstance(rows, Aggregates) else rows.time_ms
    order = np.lexsort((times, rows.series_index))
    index = rows.series_index[order]
    places = np.array([_places(one.resolution) for one in rows.series])[index]
    scale = 10.0**places
    names = [one.name for one in rows.series]
    if isinstance(rows, Readings):
        value = rows.value[order]
        whole = {"time": times[order], "value": np.rint(value * scale)}
        return Table(names, index, {"time": times[order], "value": value}, whole)
    mean = np.rint(rows.mean[order] * scale * 10)
    std, score = _three(rows.std[order]), _three(rows.score[order])
    count, low, high = rows.count[order], rows.min[order], rows.max[order]
    columns = {"time": times[order], "count": count, "mean": np.round(mean / scale / 10, 9), "min": low, "max": high}
    whole = {
        "time": times[order],
        "count": count,
        "mean": mean,
        "min": np.rint(low * scale),
        "max": np.rint(high * scale),
    }
    logs = np.rint(16 * np.log2(np.maximum(std * scale, 2**-20))), np.rint(32 * np.log2(1 + score))
    return Table(names, index, columns | {"std": std, "score": score}, whole | {"std": logs[0], "score": logs[1]})


def _places(resolution: float | None) -> int:
    return 2 if resolution is None else max(0, -math.floor(math.log10(resolution) + 1e-9))


def _three(values: Column) -> Column:
    return np.array([float(f"{value:.3g}") for value in values.tolist()])


def _records(rows: Table) -> list[list[Any]]:
    names = [rows.names[i] for i in rows.index.tolist()]
    return [list(row) for row in zip(names, *(column.tolist() for column in rows.columns.values()), strict=True)]


def json_encode(rows: Table) -> bytes:
    """JSON: an array a row."""
    return json.dumps(_records(rows), separators=(",", ":")).encode()


def senml_encode(rows: Table) -> bytes:
    """SenML in CBOR (RFC 8428): a record a value, the series and the time as base name and base time."""
    records: list[dict[int, Any]] = []
    keys = list(rows.columns)[1:]
    for name, time, *values in _records(rows):
        packed = [{0: key, 2: value} for key, value in zip(keys, values, strict=True)]
        packed[0] = {-2: f"{name}/", -3: time / 1000} | packed[0]
        records += packed
    return bytes(cbor2.dumps(records))


def _protobuf(field: int, kind: int, value: bytes) -> bytes:
    return _varint(field << 3 | kind) + (_varint(len(value)) if kind == 2 else b"") + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


_DOUBLE, _INT64 = 10, 4


def sparkplug_encode(rows: Table) -> bytes:
    """Sparkplug B: one payload, a metric a value, named by alias."""
    keys = list(rows.columns)[1:]
    out = [_protobuf(1, 0, _varint(int(rows.columns["time"].max(initial=0)))), _protobuf(3, 0, b"\1")]
    table_ = [rows.index.tolist(), *(column.tolist() for column in rows.columns.values())]
    for series, time, *values in zip(*table_, strict=True):
        for at, value in enumerate(values):
            head = _protobuf(2, 0, _varint(series * len(keys) + at)) + _protobuf(3, 0, _varint(time))
            if isinstance(value, int):
                body = _protobuf(4, 0, _varint(_INT64)) + _protobuf(11, 0, _varint(value))
            else:
                body = _protobuf(4, 0, _varint(_DOUBLE)) + _protobuf(13, 1, struct.pack("<d", value))
            out.append(_protobuf(2, 2, head + body))
    return b"".join(out)


def sparkplug_decode(data: bytes) -> int:
    """Walk the payload as a protobuf reader does; returns how many metrics there are."""
    at = metrics = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        length, at = _read_varint(data, at)
        if tag & 7 == 2:
            metrics += 1
            end = at + length
            while at < end:
                inner, at = _read_varint(data, at)
                if inner & 7 == 1:
                    struct.unpack_from("<d", data, at)
                    at += 8
                else:
                    _, at = _read_varint(data, at)
    return metrics


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while data[at] > 127:
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
    return value | data[at] << shift, at + 1


def avro_encode(rows: Table) -> bytes:
    """Avro: an object container file with deflated blocks; values as the integers that ``whole`` has, names once."""
    keys, out = list(rows.whole), io.BytesIO()
    fields = [{"name": key, "type": "long"} for key in ("series", *keys)]
    schema = fastavro.parse_schema({"type": "record", "name": "Row", "fields": fields})
    columns = (rows.index, *rows.whole.values())
    cells = zip(*(np.asarray(column).astype(np.int64).tolist() for column in columns), strict=True)
    records = [dict(zip(("series", *keys), row, strict=True)) for row in cells]
    names = {"series": ",".join(rows.names)}
    fastavro.writer(out, schema, records, codec="deflate", codec_compression_level=9, metadata=names)
    return out.getvalue()


def _arrow(rows: Table) -> Any:
    """The rows as integers of as few bits as hold them, names once."""
    names = pa.DictionaryArray.from_arrays(pa.array(rows.index.astype(np.int16)), pa.array(rows.names))
    return pa.table({"series": names, **{key: _narrow(column) for key, column in rows.whole.items()}})


def _narrow(column: Column) -> Column:
    for kind in (np.int8, np.int16, np.int32):
        if np.iinfo(kind).min <= column.min(initial=0) and column.max(initial=0) <= np.iinfo(kind).max:
            return column.astype(kind)
    return column.astype(np.int64)


def parquet_encode(rows: Table) -> bytes:
    """Parquet with zstd at its best, without statistics; integers plain or as packed deltas, whichever is smaller."""
    content, made = _arrow(rows), []
    deltas = {key: "DELTA_BINARY_PACKED" for key in rows.whole if content[key].type in (pa.int32(), pa.int64())}
    for encoding in (None, deltas):
        out = io.BytesIO()
        pq.write_table(
            content,
            out,
            compression="zstd",
            compression_level=19,
            use_dictionary=["series"],
            column_encoding=encoding,
            write_statistics=False,
            store_schema=False,
        )
        made.append(out.getvalue())
    return min(made, key=len)


def arrow_encode(rows: Table) -> bytes:
    """An Arrow IPC stream with zstd at its best."""
    out, content = io.BytesIO(), _arrow(rows)
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=19))
    with pa.ipc.new_stream(out, content.schema, options=options) as writer:
        writer.write_table(content)
    return out.getvalue()


def pcodec_encode(rows: Table) -> bytes:
    """Pcodec: each column of integers (the same scales and logarithms that the wire format has) at the best level."""
    names = zlib.compress(json.dumps(rows.names, separators=(",", ":")).encode(), 9)
    parts = [names]
    for column in [rows.index, *rows.whole.values()]:
        cells = np.ascontiguousarray(column.astype(np.int64 if np.abs(column).max(initial=0) >= 2**31 else np.int32))
        tries = (
            standalone.simple_compress(cells, ChunkConfig(compression_level=12, delta_spec=spec))
            for spec in (DeltaSpec.auto(), DeltaSpec.no_op(), DeltaSpec.try_consecutive(1))
        )
        parts.append(min(tries, key=len))
    return b"".join(struct.pack("<H", len(part)) + part for part in parts)


def pcodec_decode(data: bytes) -> list[Any]:
    """Split the columns again."""
    parts, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<H", data, at)
        parts.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return [standalone.simple_decompress(part) for part in parts[1:]]


def _deflated(encode: Callable[[Table], bytes]) -> Callable[[Table], bytes]:
    return lambda rows: zlib.compress(encode(rows), 9)


PEERS: dict[str, tuple[Callable[[Table], bytes], Callable[[bytes], Any]]] = {
    "json": (json_encode, json.loads),
    "json_deflate": (_deflated(json_encode), lambda data: json.loads(zlib.decompress(data))),
    "senml_cbor": (senml_encode, cbor2.loads),
    "sparkplug_b": (sparkplug_encode, sparkplug_decode),
    "sparkplug_b_deflate": (_deflated(sparkplug_encode), lambda data: sparkplug_decode(zlib.decompress(data))),
    "avro": (avro_encode, lambda data: list(fastavro.reader(io.BytesIO(data)))),
    "parquet": (parquet_encode, lambda data: pq.read_table(io.BytesIO(data))),
    "arrow": (arrow_encode, lambda data: pa.ipc.open_stream(data).read_all()),
    "pcodec": (pcodec_encode, pcodec_decode),
}
"""Each peer's name, and how it encodes and decodes."""
