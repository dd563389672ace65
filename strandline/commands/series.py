"""``strandline series``: series of a gateway with their latest rows, or the rows of one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from strandline.api.access import Token, Url, open_client
from strandline.command_line_options import AsJson, EndpointUrl, Stack
from strandline.text import print_json, print_table, utc


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("series")(series_command)


def series_command(
    gateway: Annotated[str, typer.Argument(help="Name of the gateway.")],
    pattern: Annotated[str, typer.Argument(help="Pattern of series, such as pump*.")] = "*",
    rows: Annotated[str | None, typer.Option(help="Print the rows of this series as CSV.")] = None,
    begin: Annotated[str | None, typer.Option("--from", help="Begin of the rows: ms, or ISO 8601 with offset.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="End of the rows; default: now.")] = None,
    resolution: Annotated[str, typer.Option(help="auto, raw, 15m, 1h or 1d.")] = "auto",
    stack: Stack = "strandline",
    endpoint_url: EndpointUrl = None,
    url: Url = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """List series with their latest rows, or print the rows of one series.

    The API is that of a stack (AWS region and credentials come from the environment or ~/.aws), or that of --url.
    """
    client = open_client(stack, endpoint_url, url, token)
    if rows is not None:
        answer = client.aggregates(gateway, rows, from_=begin, to=end, resolution=resolution)
        if as_json:
            print_json(answer)
            return
        for line in csv_lines(answer):
            typer.echo(line)
        return
    latest = {one["series"]: one for one in client.latest(gateway, pattern)}
    found = [dict(one) | {"latest": latest.get(one["series"])} for one in client.series(gateway, pattern)]
    if as_json:
        print_json(found)
        return
    if found:
        print_table([row(one) for one in found], ("series", "unit", "time"))
    typer.echo(f"{len(found)} series", err=True)


def row(series: Mapping[str, Any]) -> dict[str, Any]:
    """Return a series with its latest row as a row of the table."""
    latest = series["latest"] or {}
    times = {"time": utc(latest["start_ms"]) if latest else None}
    return (
        {"series": series["series"], "unit": series["unit"], "resolution": series["resolution"]}
        | times
        | {name: latest.get(name) for name in ("mean", "min", "max", "count")}
    )


def csv_lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """Yield rows as CSV: a header, then one line a row; null is an empty field."""
    columns = answer["columns"]
    yield ",".join(columns)
    for values in zip(*columns.values(), strict=True):
        yield ",".join("" if value is None else repr(value) for value in values)
