"""A batch in readable form: its name and its rows as a table, or the bytes of anything else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from wire import codec
from wire.model import AGGREGATE_COLUMNS, Aggregates, Anomalies, Batch, Readings

_PIPE_COLUMNS = 1_000


def head(batch: Batch, size: int) -> dict[str, Any]:
    """Return whose batch it is, and how much is in it."""
    return {
        "kind": type(batch.rows).__name__.lower(),
        "gateway": batch.gateway,
        "epoch": f"{batch.epoch:016x}",
        "sequence": batch.sequence,
        "count": len(batch.rows),
        "bytes": size,
        "bytes_per_row": round(size / max(1, len(batch.rows)), 2),
    }


def unread_head(data: bytes) -> dict[str, Any]:
    """Return whose batch it is, without reading its rows."""
    gateway, epoch, sequence = codec.name_of(data)
    return {
        "kind": codec.kind_of(data).name.lower(),
        "gateway": gateway,
        "epoch": f"{epoch:016x}",
        "sequence": sequence,
        "bytes": len(data),
    }


def profile_head(data: bytes, known: codec.Profile) -> dict[str, Any]:
    """Return whose profile it is, and how much is in it."""
    size = {"count": len(known.series), "bytes_per_series": round(len(data) / max(1, len(known.series)), 2)}
    return unread_head(data) | {"version": known.version} | size


def profile_table(known: codec.Profile) -> list[dict[str, Any]]:
    """Return a profile in readable form: for each series its step, and level and spread per column."""
    rows = []
    for at, (series, step) in enumerate(zip(known.series, known.steps, strict=True)):
        row: dict[str, Any] = {"series": series.name, "unit": series.unit, "step": step.size}
        for column, states in known.states.items():
            name = column.name.lower()
            row |= {name: states[at].level / 256, f"{name}_spread": states[at].spread / 256}
        rows.append(row)
    return rows


def table(batch: Batch) -> list[dict[str, Any]]:
    """Return the rows as JSON-ready values."""
    rows = batch.rows
    if isinstance(rows, Anomalies):
        return [report.to_dict() for report in rows.reports]
    if not isinstance(rows, Aggregates | Readings):
        return [{"time_ms": rows.time_ms, "component": c, **counters} for c, counters in rows.counters.items()]
    names = AGGREGATE_COLUMNS if isinstance(rows, Aggregates) else ("series_index", "time_ms", "value", "quality")
    columns = {name: getattr(rows, name).tolist() for name in names if name != "series_index"}
    series = [rows.series[index] for index in rows.series_index.tolist()]
    return [
        {"series": s.name, "unit": s.unit} | {name: _finite(column[at]) for name, column in columns.items()}
        for at, s in enumerate(series)
    ]


def _finite(value: float) -> float | None:
    """Return the value, or None where JSON has no word for it."""
    return value if value - value == 0 else None


def print_table(rows: list[dict[str, Any]], left: tuple[str, ...] = ("series", "unit")) -> None:
    """Print rows under the names of their values; the columns in ``left`` are of text."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None)
    names = list(dict.fromkeys(name for row in rows for name in row))
    for name in names:
        shown.add_column(name, justify="left" if name in left else "right", no_wrap=True)
    for row in rows:
        shown.add_row(*(Text(_shown(row.get(name))) for name in names))
    # A pipe has no width: a table in it is not cut to 80 columns.
    Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS).print(shown)


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def hex_dump(data: bytes) -> Iterator[str]:
    """Yield lines of 16 bytes: offset, hexadecimal, and the ASCII that is in them."""
    for at in range(0, len(data), 16):
        part = data[at : at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        yield f"{at:08x}  {part.hex(' '):<47}  {text}"
