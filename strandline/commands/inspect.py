"""``strandline inspect``: content of an encoded batch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strandline.command_line_options import AsJson
from strandline.text import print_json, print_table

if TYPE_CHECKING:
    from wire.codec import Profiles


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("inspect")(inspect_command)


def inspect_command(
    file: Annotated[str, typer.Argument(help="File with one encoded batch or profile, or - for standard input.")],
    as_json: AsJson = False,
    rows: Annotated[int, typer.Option(min=0, help="Maximum number of rows; 0 shows all.")] = 40,
    profile: Annotated[str, typer.Option(help="File with the profile that the batch refers to.")] = "",
) -> None:
    """Show the content of an encoded batch.

    Shows the header, the size of each column and the rows. The rows of a batch that refers to a profile are shown
    only with --profile.
    """
    from strandline.batch_content import batch_rows, header, profile_header, profile_rows, undecoded_header
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
            head, table = profile_header(data, described), profile_rows(described)
        else:
            try:
                batch = decode(data, known)
                head, table = header(batch, len(data)), batch_rows(batch)
            except UnknownProfileError as error:
                head, table = undecoded_header(data), []
                missing = f"its rows need profile {error.version}: --profile FILE"
    except DecodeError as error:
        raise CommandError(f"{file}: not a batch: {error}") from error
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
        print_json(head | shown)
        return
    typer.echo("  ".join(f"{key} {value}" for key, value in head.items()))
    print_table(parts)
    print_table(table if rows == 0 else table[:rows])
    if rows and len(table) > rows:
        typer.echo(f"... {len(table) - rows} more rows (--rows 0 shows all)")


def _read(file: str) -> bytes:
    from strandline.errors import CommandError

    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from error


def _profile(file: str) -> Profiles | None:
    """Return the lookup of the one profile in a file, None without a file."""
    from strandline.errors import CommandError
    from wire.codec import decode_profile
    from wire.errors import DecodeError

    if not file:
        return None
    try:
        owner, known = decode_profile(_read(file))
    except DecodeError as error:
        raise CommandError(f"{file}: not a profile: {error}") from error
    return lambda gateway, version: known if (gateway, version) == (owner, known.version) else None
