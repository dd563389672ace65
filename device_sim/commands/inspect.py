"""``strandline inspect``: what is in a batch."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("inspect")(inspect_command)


def inspect_command(
    file: Annotated[str, typer.Argument(help="A file with one encoded batch, or - for standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
    rows: Annotated[int, typer.Option(min=0, help="At most so many rows; 0 is all.")] = 40,
) -> None:
    """Show a batch: whose it is, and its rows."""
    from device_sim import batches
    from device_sim.errors import SimulationError
    from wire.codec import decode
    from wire.errors import DecodeError

    data = _read(file)
    try:
        batch = decode(data)
    except DecodeError as error:
        raise SimulationError(f"{file}: no batch: {error}") from error
    head = batches.head(batch, len(data))
    table = batches.table(batch)
    if as_json:
        typer.echo(json.dumps(head | {"rows": table if rows == 0 else table[:rows]}, allow_nan=False))
        return
    typer.echo("  ".join(f"{key} {value}" for key, value in head.items()))
    batches.print_table(table if rows == 0 else table[:rows])
    if rows and len(table) > rows:
        typer.echo(f"... {len(table) - rows} more rows (--rows 0 shows all)")


def _read(file: str) -> bytes:
    from pathlib import Path

    from device_sim.errors import SimulationError

    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise SimulationError(f"{file}: {error.strerror}") from error
