"""``strandline inspect``: what is in a batch."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from wire.codec import Profiles


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("inspect")(inspect_command)


def inspect_command(
    file: Annotated[str, typer.Argument(help="A file with one encoded batch, or - for standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
    rows: Annotated[int, typer.Option(min=0, help="Maximum number of rows; 0 shows all.")] = 40,
    profile: Annotated[str, typer.Option(help="A file with the profile that the batch names.")] = "",
) -> None:
    """Show a batch: whose it is, how it is packed, the bytes that each column takes, and its rows.

    Of one that names a profile, and without it, all but the rows.
    """
    from strandline import batches
    from strandline.errors import CommandError
    from wire.codec import Kind, decode, decode_profile, kind_of
    from wire.errors import DecodeError, UnknownProfileError
    from wire.size_breakdown import break_down

    data, known = _read(file), _profile(profile)
    missing = ""
    try:
        found = break_down(data, known)
        if kind_of(data) is Kind.PROFILE:
            described = decode_profile(data)[1]
            head, table = batches.profile_head(data, described), batches.profile_table(described)
        else:
            try:
                batch = decode(data, known)
                head, table = batches.head(batch, len(data)), batches.table(batch)
            except UnknownProfileError as error:
                head, table = batches.unread_head(data), []
                missing = f"its rows need profile {error.version}: --profile FILE"
    except DecodeError as error:
        raise CommandError(f"{file}: no batch: {error}") from error
    head |= {"coder": found.coder.name.lower()} | ({} if found.profile is None else {"profile": found.profile})
    parts = [
        {
            "part": part.name,
            "mode": part.mode,
            "bytes": round(part.bytes, 1),
            "percent": round(100 * part.bytes / len(data), 1),
        }
        for part in found.parts
    ]
    if missing:
        typer.echo(f"{file}: {missing}", err=True)
    if as_json:
        shown = {"parts": parts, "rows": table if rows == 0 else table[:rows]}
        typer.echo(json.dumps(head | shown, allow_nan=False))
        return
    typer.echo("  ".join(f"{key} {value}" for key, value in head.items()))
    batches.print_table(parts)
    batches.print_table(table if rows == 0 else table[:rows])
    if rows and len(table) > rows:
        typer.echo(f"... {len(table) - rows} more rows (--rows 0 shows all)")


def _read(file: str) -> bytes:
    from pathlib import Path

    from strandline.errors import CommandError

    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from error


def _profile(file: str) -> Profiles | None:
    """Return what finds the one profile in a file, None without one."""
    from strandline.errors import CommandError
    from wire.codec import decode_profile
    from wire.errors import DecodeError

    if not file:
        return None
    try:
        owner, known = decode_profile(_read(file))
    except DecodeError as error:
        raise CommandError(f"{file}: no profile: {error}") from error
    return lambda gateway, version: known if (gateway, version) == (owner, known.version) else None
