"""Text output of the commands: times, tables and hexadecimal dumps."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PIPE_COLUMNS = 1_000


def utc(ms: int) -> str:
    """Return a time in milliseconds since the epoch as text, - for 0."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(ms / 1000)) if ms else "-"


def print_json(value: object, file: Path | None = None) -> None:
    """Print a result as one JSON value, or write it to a file; raises ValueError for NaN and infinity."""
    text = json.dumps(value, allow_nan=False) + "\n"
    if file is not None:
        file.write_text(text)
        return
    sys.stdout.write(text)
    sys.stdout.flush()


def print_table(rows: list[dict[str, Any]], left: tuple[str, ...] = ("series", "unit")) -> None:
    """Print rows as a table with the keys as header; the columns in ``left`` are left-aligned."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None)
    names = list(dict.fromkeys(name for row in rows for name in row))
    for name in names:
        shown.add_column(name, justify="left" if name in left else "right", no_wrap=True)
    for row in rows:
        shown.add_row(*(Text(_cell(row.get(name))) for name in names))
    # A pipe has no width: a table in it is not cut to 80 columns.
    Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS).print(shown)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def hex_dump(data: bytes) -> Iterator[str]:
    """Yield lines of 16 bytes: offset, hexadecimal, printable ASCII."""
    for at in range(0, len(data), 16):
        part = data[at : at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        yield f"{at:08x}  {part.hex(' '):<47}  {text}"
