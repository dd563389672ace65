"""``strandline gateways``: gateways of a stack with received, missing and lost data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from strandline.api.access import Token, Url, open_client
from strandline.command_line_options import AsJson, EndpointUrl, Stack
from strandline.text import print_json, print_table, utc

_SHOWN_GAPS = 12
_HEALTH = ("spool_bytes", "spool_batches", "clock_offset_ms")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("gateways")(gateways_command)


def gateways_command(
    name: Annotated[str | None, typer.Argument(help="Show this gateway in detail, with its epochs and losses.")] = None,
    stack: Stack = "strandline",
    endpoint_url: EndpointUrl = None,
    url: Url = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """List gateways with received and lost data.

    Shows silence, sequence gaps and reported losses. With --json, the output is as in the responses of the API, which
    is that of a stack (AWS region and credentials come from the environment or ~/.aws), or that of --url.
    """
    client = open_client(stack, endpoint_url, url, token)
    names = [name] if name else sorted(one["gateway"] for one in client.gateways())
    found: list[Any] = [client.gateway(one) for one in names]
    if as_json:
        print_json(found[0] if name else found)
    elif name:
        for line in lines(found[0]):
            typer.echo(line)
    else:
        if found:
            print_table([row(gateway) for gateway in found], ("gateway", "last seen"))
        typer.echo(f"{len(found)} gateways", err=True)


def row(gateway: dict[str, Any]) -> dict[str, Any]:
    """Return a gateway (see cloud_functions.core.gateways.gateway) as a row of the list."""
    return {
        "gateway": gateway["gateway"],
        "last seen": utc(gateway["last_seen_ms"]) + (" silent" if gateway["silent"] else ""),
        "version": gateway.get("health", {}).get("version", ""),
        "epochs": len(gateway["epochs"]),
        "batches": gateway["batches"],
        "rows": gateway["rows"],
        "duplicates": gateway["duplicates"],
        "rejected": sum(gateway["rejected"].values()),
        "missing": sum(epoch["missing_count"] for epoch in gateway["epochs"]),
        "lost": sum(gateway["losses"].values()),
        "alerts": sum(gateway.get("alerts", {}).values()),
    }


def lines(gateway: dict[str, Any]) -> list[str]:
    """Return the details of a gateway as lines of text."""
    figures = ("batches", "rows", "bytes", "duplicates", "acknowledgements")
    last = utc(gateway["last_seen_ms"]) + (", silent" if gateway["silent"] else "")
    found = [
        f"gateway     {gateway['gateway']}",
        f"seen        {utc(gateway['first_seen_ms'])} to {last}",
        f"received    {', '.join(f'{gateway[name]} {name}' for name in figures)}",
        f"rejected    {', '.join(f'{count} {reason}' for reason, count in gateway['rejected'].items()) or 'none'}",
    ]
    for epoch in gateway["epochs"]:
        found.append(
            f"epoch       {epoch['epoch']}  complete to {epoch['cumulative']}, highest {epoch['highest']}, "
            f"{utc(epoch['first_ms'])} to {utc(epoch['changed_ms'])}"
        )
        if epoch["missing_count"]:
            since = utc(epoch["gap_since_ms"]) if epoch["gap_since_ms"] else "an unknown time"
            found.append(f"  missing   {epoch['missing_count']}: {gaps(epoch['missing'])}; the lowest since {since}")
    health = gateway.get("health", {})
    figures_of_health = [f"{name} {health[name]}" for name in _HEALTH if name in health]
    found += [f"health      {', '.join(figures_of_health)}"] * bool(figures_of_health)
    versions = ", ".join(f"{component} {version}" for component, version in health.get("versions", {}).items())
    found += [f"versions    {versions}"] * bool(versions)
    notice = gateway["notice"]
    if notice is None:
        return [*found, "lost        unknown: no report from the gateway yet"]
    found.append(
        f"lost        {'' if gateway['losses'] else 'nothing '}(reported {utc(notice['time_ms'])}, gateway's clock)"
    )
    found += [f"  {count:>9} {counter}" for counter, count in gateway["losses"].items()]
    return found + [f"merged      {gateway['merged']} rows into coarser windows"] * bool(gateway["merged"])


def gaps(missing: Sequence[Sequence[int]]) -> str:
    """Return gaps as text: single numbers, and ranges with both ends."""
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in missing[:_SHOWN_GAPS]]
    return ", ".join(shown) + (", ..." if len(missing) > _SHOWN_GAPS else "")
