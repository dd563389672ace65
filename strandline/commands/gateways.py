"""``strandline gateways``: gateways of a stack with received, missing and lost data."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer

_SHOWN_GAPS = 12


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("gateways")(gateways_command)


def gateways_command(
    name: Annotated[str | None, typer.Argument(help="Only this one, with its epochs and losses.")] = None,
    silent_after: Annotated[float, typer.Option(min=0.02, help="Minutes until a gateway counts as silent.")] = 15.0,
    stack: Annotated[str, typer.Option(help="The CloudFormation stack.")] = "strandline",
    endpoint_url: Annotated[str | None, typer.Option(help="A local cloud's; also AWS_ENDPOINT_URL.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: what the api answers.")] = False,
) -> None:
    """Show gateways: figures, silence, gaps in their sequences, reported losses."""
    from cloud_functions.adapters.dynamodb import DynamoTable
    from cloud_functions.clock import now_ms
    from cloud_functions.core import gateways
    from cloud_functions.core.errors import RequestError, StoreError
    from strandline import batches
    from strandline.account import Account
    from strandline.errors import AccountError

    account = Account(stack, endpoint_url)
    silence = gateways.Silence(now_ms(), round(silent_after * 60_000))
    try:
        telemetry = DynamoTable(account.outputs["TelemetryTableName"], account.client("dynamodb"))
        names = [name] if name else sorted(gateways.names(telemetry))
        found = [gateways.gateway(telemetry, one, silence) for one in names]
    except KeyError as error:
        raise AccountError(f"stack {stack}: it has no output {error}") from error
    except (RequestError, StoreError) as error:
        raise AccountError(f"stack {stack}: {error}") from error
    if as_json:
        typer.echo(json.dumps(found[0] if name else found))
    elif name:
        for line in lines(found[0]):
            typer.echo(line)
    else:
        if found:
            batches.print_table([row(gateway) for gateway in found], ("gateway", "last seen"))
        typer.echo(f"{len(found)} gateways", err=True)


def row(gateway: dict[str, Any]) -> dict[str, Any]:
    """Return a gateway (see cloud_functions.core.gateways.gateway) as a row of the list."""
    return {
        "gateway": gateway["gateway"],
        "last seen": moment(gateway["last_seen_ms"]) + (" silent" if gateway["silent"] else ""),
        "epochs": len(gateway["epochs"]),
        "batches": gateway["batches"],
        "rows": gateway["rows"],
        "duplicates": gateway["duplicates"],
        "rejected": sum(gateway["rejected"].values()),
        "missing": sum(epoch["missing_count"] for epoch in gateway["epochs"]),
        "lost": sum(gateway["lost"].values()),
    }


def lines(gateway: dict[str, Any]) -> list[str]:
    """Return all that is known of a gateway, as text."""
    figures = ("batches", "rows", "bytes", "duplicates", "acknowledgements")
    seen = moment(gateway["last_seen_ms"]) + (", silent" if gateway["silent"] else "")
    told = [
        f"gateway     {gateway['gateway']}",
        f"seen        {moment(gateway['first_seen_ms'])} to {seen}",
        f"figures     {', '.join(f'{gateway[name]} {name}' for name in figures)}",
        f"rejected    {', '.join(f'{count} {reason}' for reason, count in gateway['rejected'].items()) or 'none'}",
    ]
    for epoch in gateway["epochs"]:
        told.append(
            f"epoch       {epoch['epoch']}  all to {epoch['cumulative']}, highest {epoch['highest']}, "
            f"{moment(epoch['first_ms'])} to {moment(epoch['changed_ms'])}"
        )
        if epoch["missing_count"]:
            since = moment(epoch["gap_since_ms"]) if epoch["gap_since_ms"] else "an unknown time"
            told.append(f"  missing   {epoch['missing_count']}: {gaps(epoch['missing'])}; the lowest since {since}")
    notice = gateway["notice"]
    if notice is None:
        return [*told, "lost        it has told nothing of itself yet"]
    said = f"as it said at {moment(notice['time_ms'])} by its clock"
    told.append(f"lost        {said}: {'' if gateway['lost'] else 'nothing'}".rstrip())
    told += [f"  {count:>9} {counter}" for counter, count in gateway["lost"].items()]
    return told + [f"merged      {gateway['merged']} rows into coarser windows"] * bool(gateway["merged"])


def gaps(missing: Sequence[Sequence[int]]) -> str:
    """Return gaps as text: single numbers, and ranges with both ends."""
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in missing[:_SHOWN_GAPS]]
    return ", ".join(shown) + (", ..." if len(missing) > _SHOWN_GAPS else "")


def moment(ms: int) -> str:
    """Return a time in UTC as text, or - where it is not known."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(ms / 1000)) if ms else "-"
