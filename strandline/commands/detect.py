"""``strandline detect``: the gateway's detector over recorded tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("detect")(detect_command)


def detect_command(
    inputs: Annotated[list[Path], typer.Argument(help="CSV files, each with a header.")],
    time: Annotated[str, typer.Option(help="The column with the time: ISO 8601, or seconds since the epoch.")],
    values: Annotated[str, typer.Option(help="The columns with the channels, separated by commas.")],
    calibrate: Annotated[int, typer.Option(help="Rows at the beginning that are calibrated on, and not scored.")],
    out: Annotated[Path, typer.Option(help="The folder for the scores: one CSV for each input.")],
    png: Annotated[bool, typer.Option("--png", help="Draw each too (needs matplotlib).")] = False,
) -> None:
    """Score recorded tables as a gateway would have: timestamp, score (1.0 is an alarm), anomaly, cause, channel."""
    from strandline.recorded.offline import detect

    channels = [name.strip() for name in values.split(",") if name.strip()]
    for path in detect(inputs, time, channels, calibrate, out, png):
        typer.echo(str(path))
