"""``strandline inspect``: what is in a batch."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from wire.model import Batch


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("inspect")(inspect_command)


def inspect_command(
    file: Annotated[str, typer.Argument(help="A file with one encoded batch, or - for standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
    rows: Annotated[int, typer.Option(min=0, help="At most so many rows; 0 is all.")] = 40,
) -> None:
    """Show a batch: whose it is, and its rows."""
    from device_sim.errors import SimulationError
    from wire.codec import decode
    from wire.errors import DecodeError

    data = _read(file)
    try:
        batch = decode(data)
    except DecodeError as error:
        raise SimulationError(f"{file}: no batch: {error}") from error
    head = _head(batch, len(data))
    table = _table(batch)
    if as_json:
        typer.echo(json.dumps(head | {"rows": table if rows == 0 else table[:rows]}, allow_nan=False))
        return
    typer.echo("  ".join(f"{key} {value}" for key, value in head.items()))
    _print_table(table if rows == 0 else table[:rows])
    if rows and len(table) > rows:
        typer.echo(f"... {len(table) - rows} more rows (--rows 0 shows all)")


def _read(file: str) -> bytes:
    from pathlib import Path

    from device_sim.errors import SimulationError

    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise SimulationError(f"{file}: {error.strerror}") from error


def _head(batch: Batch, size: int) -> dict[str, Any]:
    return {
        "kind": type(batch.rows).__name__.lower(),
        "gateway": batch.gateway,
        "epoch": f"{batch.epoch:016x}",
        "sequence": batch.sequence,
        "count": len(batch.rows),
        "bytes": size,
        "bytes_per_row": round(size / max(1, len(batch.rows)), 2),
    }


def _table(batch: Batch) -> list[dict[str, Any]]:
    from wire.model import AGGREGATE_COLUMNS, Aggregates, Anomalies, Readings

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


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None)
    names = list(dict.fromkeys(name for row in rows for name in row))
    for name in names:
        table.add_column(name, justify="left" if name in ("series", "unit") else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(_shown(row.get(name)) for name in names))
    console = Console()
    # A pipe has no width: a table in it is not cut to 80 columns.
    console.print(table, width=None if console.is_terminal else 400)


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
