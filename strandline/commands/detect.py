"""``strandline detect``: anomaly detection over recorded tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strandline.command_line_options import AsJson, split_list
from strandline.text import print_json, print_table, utc

if TYPE_CHECKING:
    from strandline.recorded.episodes import Episode, Summary
    from strandline.recorded.offline import Scored

MAX_SHOWN = 100
WEEK_MS = 7 * 86_400_000


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("detect")(detect_command)


def detect_command(
    inputs: Annotated[list[Path], typer.Argument(help="CSV files with a header.")],
    time: Annotated[
        str,
        typer.Option(
            help="Column of the time: ISO 8601, or seconds or milliseconds since the epoch; default: the one that is "
            "named time, timestamp, datetime, date or ts, else the first."
        ),
    ] = "",
    values: Annotated[
        str,
        typer.Option(
            help="Columns of the channels, comma-separated; default: all with numbers; with --model those of the model."
        ),
    ] = "",
    calibrate: Annotated[
        int | None,
        typer.Option(
            help="Number of rows at the beginning for the calibration, which are not scored and must be normal; "
            "default: 15% of the rows, from 120 to 2000."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the scores of all rows: one CSV file per input.")] = None,
    png: Annotated[
        bool, typer.Option("--png", help="Also write a plot for each input into --out (needs the extra `plot`).")
    ] = False,
    model: Annotated[
        Path | None,
        typer.Option(help="model.zip of `strandline train`: show what this model would have raised, and no other."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score recorded tables with the detector of the gateway, and list the anomalies.

    Each anomaly is printed with start, end, channel, cause and peak (1.0 is the alarm level), followed by a summary.
    The files in --out have the columns timestamp, score, anomaly (0 or 1), cause and channel. Progress goes to standard
    error, without --json.
    """
    if png and out is None:
        raise typer.BadParameter("--png: --out is required")
    answers = [
        _with_statistics(path, time, split_list(values), calibrate, out, png, as_json)
        if model is None
        else _with_model(path, time, model, calibrate, as_json)
        for path in inputs
    ]
    if as_json:
        print_json(answers)


def _with_statistics(
    path: Path, time: str, channels: tuple[str, ...], calibrate: int | None, out: Path | None, png: bool, quiet: bool
) -> dict[str, Any]:
    from strandline.progress import ProgressLine
    from strandline.recorded.calibration import default_calibration
    from strandline.recorded.episodes import episodes, summarize
    from strandline.recorded.offline import score_files
    from strandline.recorded.table import choose_columns

    chosen = not (time and channels)
    time, channels = choose_columns(path, time, channels)
    if chosen and not quiet:
        typer.echo(f"{path}: time {time}; channels {', '.join(channels)}")
    scored: Scored
    with ProgressLine(path.name, "rows", quiet=quiet) as progress:
        (scored,) = score_files(
            [path],
            time,
            channels,
            lambda rows: default_calibration(rows) if calibrate is None else calibrate,
            out,
            png,
            progress=progress,
        )
    found, time_ms = scored.detection, scored.table.time_ms
    anomalies = episodes(time_ms, found.anomaly, found.level, found.cause, found.channel)
    summary = summarize(time_ms, scored.calibrate, anomalies)
    if not quiet:
        _print(path, scored.calibrate, anomalies, summary, time_ms)
        if scored.target is not None:
            typer.echo(f"scores of all rows: {scored.target}")
    return _answer(path, scored.calibrate, anomalies, summary) | {"scores": str(scored.target) if out else None}


def _with_model(path: Path, time: str, model: Path, calibrate: int | None, quiet: bool) -> dict[str, Any]:
    from strandline.progress import ProgressLine
    from strandline.recorded import model_detection, table
    from strandline.recorded.calibration import default_calibration
    from strandline.recorded.episodes import above_level, episodes, summarize

    loaded = model_detection.load(model)
    time, channels = table.choose_columns(path, time, loaded.manifest.channels)
    recorded = table.read(path, time, channels)
    rows = default_calibration(len(recorded.stamps)) if calibrate is None else calibrate
    with ProgressLine(path.name, "windows", quiet=quiet) as progress:
        found = model_detection.detect(loaded, recorded.time_ms, recorded.values, rows, progress)
    causes = [f"model {loaded.manifest.group}"] * len(found.level)
    anomalies = episodes(found.time_ms, above_level(found.level), found.level, causes, found.channel)
    summary = summarize(found.time_ms, 0, anomalies)
    if not quiet:
        _print(path, 0, anomalies, summary, found.time_ms)
    return _answer(path, 0, anomalies, summary) | {"model": loaded.manifest.name}


def _answer(path: Path, calibrate: int, anomalies: list[Episode], summary: Summary) -> dict[str, Any]:
    found = [one.to_dict() for one in anomalies]
    return {"file": str(path), "calibrate": calibrate, "anomalies": found, "summary": summary.to_dict()}


def _print(path: Path, calibrate: int, anomalies: list[Episode], summary: Summary, time_ms: Any) -> None:
    from strandline.recorded.calibration import advice

    rows = [
        {
            "start": utc(one.start_ms),
            "end": utc(one.end_ms),
            "channel": one.channel,
            "cause": one.cause,
            "peak": one.peak,
        }
        for one in anomalies[:MAX_SHOWN]
    ]
    if rows:
        print_table(rows, left=("start", "end", "channel", "cause"))
    if len(anomalies) > MAX_SHOWN:
        typer.echo(f"and {len(anomalies) - MAX_SHOWN} more: --json has all")
    weekly = f"{summary.per_week:g} a week, " if summary.to_ms - summary.from_ms >= WEEK_MS else ""
    typer.echo(
        f"{path}: {summary.episodes} {'anomaly' if summary.episodes == 1 else 'anomalies'} in {summary.scored:,} rows, "
        f"{utc(summary.from_ms)} to {utc(summary.to_ms)}; {weekly}{summary.share:.2%} of the rows"
    )
    if calibrate:
        typer.echo(f"calibrated on the first {calibrate:,} rows, until {utc(int(time_ms[calibrate - 1]))}")
        for sentence in advice(time_ms, calibrate):
            typer.echo(f"  {sentence}")
