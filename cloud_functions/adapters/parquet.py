"""Aggregates in Parquet files: zstd, dictionaries for names, sorted by gateway, series and time.

Only the functions compaction and archive import this module, because pyarrow is large. A row group holds whole gateways
and about ``GROUP_ROWS`` rows, so that a reader of one gateway skips the others by their statistics.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cloud_functions.core.columns import COLUMNS
from wire.model import FLOAT_COLUMNS, Aggregates, Series

GROUP_ROWS = 120_000
_NAMES = ("gateway", "series", "unit")
SCHEMA = pa.schema(
    [pa.field(name, pa.dictionary(pa.int32(), pa.string()), nullable=False) for name in _NAMES]
    + [pa.field("resolution", pa.float64())]
    + [
        pa.field("start", pa.timestamp("ms", "UTC"), nullable=False)
        if name == "start_ms"
        else pa.field(name, pa.float64() if name in FLOAT_COLUMNS else pa.int64(), nullable=False)
        for name in COLUMNS
    ]
)


def write(path: Path, gateways: Iterable[tuple[str, Aggregates]]) -> int:
    """Write a file with the rows of gateways, in their order; return the number of rows. Without rows no file."""
    writer, waiting, size, total = None, [], 0, 0
    try:
        for gateway, rows in gateways:
            waiting.append(_table(gateway, rows))
            size += len(rows)
            if size >= GROUP_ROWS:
                writer = _flush(path, writer, waiting)
                total, size, waiting = total + size, 0, []
        if size:
            writer = _flush(path, writer, waiting)
    finally:
        if writer is not None:
            writer.close()
    return total + size


def read(path: Path) -> Iterator[tuple[str, Aggregates]]:
    """Yield the rows of a file by gateway, in the order in which they were written."""
    name, parts = "", list[Aggregates]()
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            for gateway, rows in _gateways(file.read_row_group(group)):
                if gateway != name and parts:
                    yield name, Aggregates.concatenate(parts)
                    parts = []
                name = gateway
                parts.append(rows)
    if parts:
        yield name, Aggregates.concatenate(parts)


def read_series(source: Path | BinaryIO, gateway: str, series: str, from_ms: int, to_ms: int) -> Aggregates:
    """Return the rows of a series that start in [from_ms, to_ms); reads the row groups that can have some."""
    parts = []
    with pq.ParquetFile(source) as file:
        bounds = {"gateway": (gateway, gateway), "start": (_time(from_ms), _time(to_ms - 1))}
        for group in range(file.num_row_groups):
            if not all(_overlaps(file, group, name, *bound) for name, bound in bounds.items()):
                continue
            table = file.read_row_group(group)
            start = table.column("start").cast(pa.int64())
            wanted = pc.and_(pc.greater_equal(start, from_ms), pc.less(start, to_ms))
            for name, value in (("gateway", gateway), ("series", series)):
                wanted = pc.and_(wanted, pc.equal(table.column(name).cast(pa.string()), value))
            found = table.filter(wanted)
            if len(found):
                parts.append(_aggregates(found))
    return Aggregates.concatenate(parts)


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _overlaps(file: pq.ParquetFile, group: int, column: str, low: Any, high: Any) -> bool:
    """Return False if no cell of a column of a row group is in [low, high], by its statistics."""
    statistics = file.metadata.row_group(group).column(file.schema_arrow.get_field_index(column)).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    return bool(statistics.min <= high and low <= statistics.max)


def contains(path: Path, gateway: str, series: str | None) -> bool:
    """Return True if a file has rows of a gateway, and of the series if one is named; reads only the names."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            if not _overlaps(file, group, "gateway", gateway, gateway):
                continue
            names = file.read_row_group(group, columns=["gateway", "series"])
            wanted = pc.equal(names.column("gateway").cast(pa.string()), gateway)
            if series is not None:
                wanted = pc.and_(wanted, pc.equal(names.column("series").cast(pa.string()), series))
            if pc.any(wanted).as_py():
                return True
    return False


def _flush(path: Path, writer: pq.ParquetWriter | None, tables: list[pa.Table]) -> pq.ParquetWriter:
    if writer is None:
        sorting = [pq.SortingColumn(SCHEMA.get_field_index(name)) for name in ("gateway", "series", "unit", "start")]
        writer = pq.ParquetWriter(
            path,
            SCHEMA,
            compression="zstd",
            use_dictionary=[*_NAMES, "resolution", "width_ms", "count", "min", "max"],
            sorting_columns=sorting,
        )
    table = pa.concat_tables(tables).unify_dictionaries()
    writer.write_table(table, row_group_size=len(table))
    return writer


def _table(gateway: str, rows: Aggregates) -> pa.Table:
    index = pa.array(rows.series_index, pa.int32())
    zeros = pa.array(np.zeros(len(rows), np.int32))
    resolutions = np.array([np.nan if s.resolution is None else s.resolution for s in rows.series], np.float64)
    columns = [
        pa.DictionaryArray.from_arrays(zeros, pa.array([gateway])),
        pa.DictionaryArray.from_arrays(index, pa.array([s.name for s in rows.series], pa.string())),
        pa.DictionaryArray.from_arrays(index, pa.array([s.unit for s in rows.series], pa.string())),
        pa.array(resolutions[rows.series_index], pa.float64(), from_pandas=True),
    ]
    columns += [
        pa.array(getattr(rows, name)).cast(SCHEMA.field(at).type) for at, name in enumerate(COLUMNS, start=len(columns))
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _gateways(table: pa.Table) -> Iterator[tuple[str, Aggregates]]:
    gateways = np.asarray(table.column("gateway").to_pylist())
    cuts = np.flatnonzero(gateways[1:] != gateways[:-1]) + 1
    for begin, end in zip([0, *cuts.tolist()], [*cuts.tolist(), len(gateways)], strict=True):
        if end > begin:
            yield str(gateways[begin]), _aggregates(table.slice(begin, end - begin))


def _aggregates(table: pa.Table) -> Aggregates:
    names, units, resolutions = (table.column(name).to_pylist() for name in ("series", "unit", "resolution"))
    directory: dict[tuple[str, str, float | None], int] = {}
    index = [directory.setdefault(key, len(directory)) for key in zip(names, units, resolutions, strict=True)]
    columns = []
    for name in COLUMNS:
        values = table.column("start" if name == "start_ms" else name)
        array = values.cast(pa.int64()) if name == "start_ms" else values
        columns.append(array.to_numpy().astype(np.float64 if name in FLOAT_COLUMNS else np.int64))
    return Aggregates(tuple(Series(*key) for key in directory), np.array(index, np.int64), *columns)
