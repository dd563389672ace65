"""``strandline forecast``: when a series reaches a limit, of a stack's telemetry or of recorded tables."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cloud_functions.core.threshold import Side

HOUR_MS = 3_600_000


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("forecast")(forecast_command)


def forecast_command(
    inputs: Annotated[list[Path] | None, typer.Argument(help="CSV files, each with a header; none: a stack's.")] = None,
    time_column: Annotated[str, typer.Option("--time", help="The files' column with the time.")] = "timestamp",
    values: Annotated[str, typer.Option(help="Their columns with the channels, separated by commas.")] = "",
    gateway: Annotated[str | None, typer.Option(help="The gateway whose series it is.")] = None,
    series: Annotated[str | None, typer.Option(help="The series, as the stack names it.")] = None,
    high: Annotated[float | None, typer.Option(help="The limit that is reached from below.")] = None,
    low: Annotated[float | None, typer.Option(help="The limit that is reached from above.")] = None,
    hours: Annotated[float, typer.Option(min=0.001, help="How much of the past counts; of files, all of it.")] = 24.0,
    horizon_hours: Annotated[
        float | None, typer.Option(min=0.001, help="How far to look ahead; by default as far as the past reaches back.")
    ] = None,
    stack: Annotated[str, typer.Option(help="The CloudFormation stack.")] = "strandline",
    endpoint_url: Annotated[str | None, typer.Option(help="A local cloud's; also AWS_ENDPOINT_URL.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: what the api answers, one a series.")] = False,
) -> None:
    """Estimate when a series reaches a limit (damped trend, with an interval), or give the reason for no estimate."""
    from cloud_functions.core.errors import RequestError
    from cloud_functions.core.limits import check
    from strandline.errors import AccountError, CommandError

    problems: list[str] = []
    limits = check({"high": high, "low": low}, problems)
    if problems:
        raise CommandError("; ".join(problems))
    horizon_ms = None if horizon_hours is None else max(1, round(horizon_hours * HOUR_MS))
    if inputs:
        answers = list(_recorded(inputs, time_column, values, limits, horizon_ms))
    elif gateway and series:
        try:
            answers = [_stored(stack, endpoint_url, gateway, series, limits, round(hours * HOUR_MS), horizon_ms)]
        except RequestError as error:
            raise AccountError(f"stack {stack}: {error}") from error
    else:
        raise typer.BadParameter("CSV files with --values, or --gateway and --series")
    for answer in answers:
        if as_json:
            typer.echo(json.dumps(answer))
            continue
        for line in lines(answer):
            typer.echo(line)


def _recorded(
    inputs: list[Path], time_column: str, values: str, limits: Mapping[Side, float], horizon_ms: int | None
) -> Iterator[dict[str, Any]]:
    import numpy as np

    from cloud_functions.core.forecasts import describe
    from cloud_functions.core.history import history
    from strandline.errors import CommandError
    from strandline.recorded import table

    channels = [name.strip() for name in values.split(",") if name.strip()]
    if not channels:
        raise CommandError("--values: at least one column of the files")
    if not limits:
        raise CommandError("--high, --low: at least one limit")
    for path in inputs:
        recorded = table.read(path, time_column, channels)
        one = np.ones(len(recorded.stamps), np.int64)
        for at, channel in enumerate(channels):
            past = history(recorded.time_ms, one, one, recorded.values[:, at])
            yield {"file": str(path), "series": channel, "unit": ""} | describe(past, limits, horizon_ms)


def _stored(
    stack: str,
    endpoint_url: str | None,
    gateway: str,
    series: str,
    limits: Mapping[Side, float],
    past_ms: int,
    horizon_ms: int | None,
) -> dict[str, Any]:
    from cloud_functions.adapters.dynamodb import DynamoTable
    from cloud_functions.clock import now_ms
    from cloud_functions.core.errors import StoreError
    from cloud_functions.core.forecasts import Request, forecast
    from cloud_functions.core.profiles import Profiles
    from strandline.account import Account
    from strandline.errors import AccountError

    account = Account(stack, endpoint_url)
    try:
        telemetry = DynamoTable(account.outputs["TelemetryTableName"], account.client("dynamodb"))
        now = now_ms()
        profiles = Profiles(telemetry, now_ms)
        return forecast(
            telemetry, profiles.find, gateway, series, Request(max(0, now - past_ms), now, horizon_ms, limits)
        )
    except KeyError as error:
        raise AccountError(f"stack {stack}: it has no output {error}") from error
    except StoreError as error:
        raise AccountError(f"stack {stack}: {error}") from error


def lines(answer: Mapping[str, Any]) -> list[str]:
    """Return an answer (see cloud_functions.core.forecasts.describe) as text, one line a limit."""
    name = f"{answer['file']} {answer['series']}" if "file" in answer else f"{answer['gateway']} {answer['series']}"
    told = []
    for entry in answer["limits"]:
        limit = f"{name}  {entry['side']} {entry['limit']:g} {answer['unit']}".rstrip()
        times = entry["estimate"]
        if times is None:
            told.append(f"{limit}  no estimate ({entry['reason']}): {entry['detail']}")
        else:
            early, middle, late = (moment(times[key]) for key in ("early_ms", "middle_ms", "late_ms"))
            told.append(f"{limit}  reached about {middle}, {answer['interval']:.0%} between {early} and {late}")
    return told


def moment(ms: int) -> str:
    """Return a time in UTC as text, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(ms / 1000))
