"""``strandline alerts``: list, show and acknowledge the alerts of a stack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from strandline.api.access import Token, Url, open_client
from strandline.command_line_options import AsJson, EndpointUrl, Stack
from strandline.text import print_json, utc

AlertId = Annotated[str, typer.Argument(help="Id of the alert, as the list with --json shows it.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="List, show and acknowledge alerts.", invoke_without_command=True)
    group.callback()(list_command)
    group.command("show")(show_command)
    group.command("acknowledge")(acknowledge_command)
    app.add_typer(group, name="alerts")


def list_command(
    context: typer.Context,
    gateway: Annotated[str | None, typer.Option(help="Gateway whose alerts to list; default: all.")] = None,
    series: Annotated[str | None, typer.Option(help="Pattern of series, such as pump*.")] = None,
    severity: Annotated[str | None, typer.Option(help="critical, warning or info.")] = None,
    state: Annotated[str, typer.Option(help="pending, firing, acknowledged, resolved, open or all.")] = "all",
    open_only: Annotated[bool, typer.Option("--open", help="The same as --state open.")] = False,
    stack: Stack = "strandline",
    endpoint_url: EndpointUrl = None,
    url: Url = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """List alerts, newest last.

    The API is that of a stack (AWS region and credentials come from the environment or ~/.aws), or that of --url.
    """
    if context.invoked_subcommand is not None:
        return
    client = open_client(stack, endpoint_url, url, token)
    wanted = "open" if open_only else state
    found: list[Mapping[str, Any]] = list(
        client.alerts(gateway=gateway, series=series, severity=severity, state=wanted)
    )
    found = [alert for alert in reversed(found) if alert["state"] != "pending" or wanted == "pending"]
    if as_json:
        print_json(found)
        return
    for alert in found:
        typer.echo(line(alert))
    typer.echo(f"{len(found)} alerts", err=True)


def show_command(
    alert_id: AlertId,
    stack: Stack = "strandline",
    endpoint_url: EndpointUrl = None,
    url: Url = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Show an alert and its history."""
    client = open_client(stack, endpoint_url, url, token)
    alert, history = client.alert(alert_id), client.history(alert_id)
    if as_json:
        print_json({"alert": alert, "history": history})
        return
    typer.echo(line(alert))
    for event in history:
        typer.echo(f"  {utc(event['time_ms'])}  {event['event']:<12} {event['by']} {event['detail']}".rstrip())


def acknowledge_command(
    alert_id: AlertId,
    comment: Annotated[str, typer.Option(help="Comment for the others.")] = "",
    stack: Stack = "strandline",
    endpoint_url: EndpointUrl = None,
    url: Url = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Acknowledge an alert as the caller."""
    alert = open_client(stack, endpoint_url, url, token).acknowledge(alert_id, comment)
    if as_json:
        print_json(alert)
    else:
        typer.echo(line(alert))


def line(alert: Mapping[str, Any]) -> str:
    """Return an alert of the API as a line of text."""
    values = [f"{name} {alert[name]:.6g}" for name in ("observed", "expected") if alert.get(name) is not None]
    score = f"score {alert['score']:6.2f}" if alert.get("score") is not None else ""
    text = (
        f"{utc(alert['onset_ms'])}  {alert['state']:<12} {alert.get('severity', ''):<8} {alert['gateway']}"
        f"  {alert['series'] or '(gateway)':<28} {alert.get('rule') or alert.get('cause') or '':<9}"
        f" {alert.get('direction') or '':<7} {score}  {', '.join(values)} {alert.get('unit') or ''}"
    ).rstrip()
    if not alert.get("gateway_silent") or alert["state"] == "resolved":
        return text
    seen_ms = alert.get("gateway_last_seen_ms")
    return text + (f"  (gateway silent since {utc(seen_ms)})" if seen_ms else "  (no data from this gateway)")
