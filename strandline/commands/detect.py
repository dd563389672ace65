"""``strandline detect``: anomaly detection over recorded tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from strandline.command_line_options import split_list


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("detect")(detect_command)


def detect_command(
    inputs: Annotated[list[Path], typer.Argument(help="CSV files with a header.")],
    time: Annotated[
        str, typer.Option(help="Column of the time: ISO 8601, or seconds or milliseconds since the epoch.")
    ],
    values: Annotated[str, typer.Option(help="Columns of the channels, comma-separated.")],
    calibrate: Annotated[
        int, typer.Option(help="Number of rows at the beginning for the calibration; they are not scored.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results: one CSV file per input.")],
    png: Annotated[
        bool, typer.Option("--png", help="Also write a plot for each input (needs the extra `plot`).")
    ] = False,
) -> None:
    """Score recorded tables with the detector of the gateway.

    The result has the columns timestamp, score (1.0 is the alarm level), anomaly (0 or 1), cause and channel.
    """
    from strandline.recorded.offline import detect

    for path in detect(inputs, time, split_list(values), calibrate, out, png):
        typer.echo(str(path))
