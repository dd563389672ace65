"""``strandline forecast``: time at which a series reaches a limit, from stored telemetry or recorded tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strandline.api.access import Token, Url
from strandline.command_line_options import AsJson, EndpointUrl, Stack, split_list
from strandline.progress import duration
from strandline.text import print_json, utc

if TYPE_CHECKING:
    from cloud_functions.core.threshold import Side

HOUR_MS = 3_600_000


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("forecast")(forecast_command)


def forecast_command(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(help="CSV files with a header; without files, the telemetry of a stack or --url is used."),
    ] = None,
    time_column: Annotated[
        str, typer.Option("--time", help="With files: column of the time; default: as for `detect`.")
    ] = "",
    values: Annotated[str, typer.Option(help="With files: columns of the channels, comma-separated.")] = "",
    gateway: Annotated[str | None, typer.Option(help="Without files: the gateway of the series.")] = None,
    series: Annotated[str | None, typer.Option(help="Without files: name of the series.")] = None,
    high: Annotated[float | None, typer.Option(help="Limit that is reached from below.")] = None,
    low: Annotated[float | None, typer.Option(help="Limit that is reached from above.")] = None,
    hours: Annotated[float, typer.Option(min=0.001, help="Without files: hours of history to use.")] = 24.0,
    horizon_hours: Annotated[
        float | None, typer.Option(min=0.001, help="Hours to forecast; default: the length of the history.")
    ] = None,
    stack: Stack = "strandline",
    endpoint_url: EndpointUrl = None,
    url: Url = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Estimate when a series reaches a limit.

    Prints the estimate with an interval, or the reason for a missing estimate. The method is a damped trend. With
    --json, an object as in the responses of the API is printed, and for files a list of one for each series.
    """
    from cloud_functions.core.limits import check
    from strandline.errors import CommandError

    problems: list[str] = []
    limits = check({"high": high, "low": low}, problems)
    if problems:
        raise CommandError("; ".join(problems))
    horizon_ms = None if horizon_hours is None else max(1, round(horizon_hours * HOUR_MS))
    if inputs:
        answers = list(_recorded(inputs, time_column, values, limits, horizon_ms))
    elif gateway and series and url is not None:
        answers = [_answered(url, token, gateway, series, limits, round(hours * HOUR_MS), horizon_ms)]
    elif gateway and series:
        answers = [_stored(stack, endpoint_url, gateway, series, limits, round(hours * HOUR_MS), horizon_ms)]
    else:
        raise typer.BadParameter("CSV files with --values, or --gateway and --series, are required")
    if as_json:
        print_json(answers if inputs else answers[0])
        return
    for answer in answers:
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

    channels = split_list(values)
    if not channels:
        raise CommandError("--values: at least one column is required")
    if not limits:
        raise CommandError("--high, --low: at least one limit is required")
    for path in inputs:
        recorded = table.read(path, *table.choose_columns(path, time_column, channels))
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
    from cloud_functions.clock import now_ms
    from cloud_functions.core.forecasts import Request, forecast
    from cloud_functions.core.profiles import Profiles
    from strandline.account import open_account

    with open_account(stack, endpoint_url) as account:
        now = now_ms()
        request = Request(max(0, now - past_ms), now, horizon_ms, limits)
        telemetry = account.telemetry()
        return forecast(telemetry, Profiles(telemetry, now_ms).find, gateway, series, request)


def _answered(
    url: str,
    token: str | None,
    gateway: str,
    series: str,
    limits: Mapping[Side, float],
    past_ms: int,
    horizon_ms: int | None,
) -> dict[str, Any]:
    """Return the answer of the API at an address."""
    from cloud_functions.clock import now_ms
    from cloud_functions.core.threshold import Side
    from strandline.api.access import open_client

    now = now_ms()
    return open_client("", None, url, token).forecast(
        gateway,
        series,
        from_=max(0, now - past_ms),
        to=now,
        horizon=horizon_ms,
        high=limits.get(Side.HIGH),
        low=limits.get(Side.LOW),
    )


def lines(answer: Mapping[str, Any]) -> list[str]:
    """Return a forecast (see cloud_functions.core.forecasts.describe) as text, one line per limit."""
    past = answer["history"]
    name = f"{answer['file']} {answer['series']}" if "file" in answer else f"{answer['gateway']} {answer['series']}"
    found = []
    if past is not None and past["rows"] > past["steps"]:
        found.append(
            f"{name}  {past['rows']:,} rows are averaged to {past['steps']} steps of {duration(past['step_ms'] / 1000)}"
        )
    for entry in answer["limits"]:
        limit = f"{name}  {entry['side']} {entry['limit']:g} {answer['unit']}".rstrip()
        times = entry["estimate"]
        if times is None:
            found.append(f"{limit}  no estimate ({entry['reason']}): {entry['detail']}")
        else:
            early, middle, late = (utc(times[key]) for key in ("early_ms", "middle_ms", "late_ms"))
            found.append(f"{limit}  reached about {middle}, {answer['interval']:.0%} between {early} and {late}")
    return found
