"""``strandline alerts``: the alerts of a stack."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from strandline.command_line_options import AsJson, EndpointUrl, SilentAfter, Stack
from strandline.text import utc


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("alerts")(alerts_command)


def alerts_command(
    gateway: Annotated[str | None, typer.Option(help="Gateway whose alerts to list; default: all.")] = None,
    open_only: Annotated[bool, typer.Option("--open", help="Omit resolved alerts.")] = False,
    silent_after: SilentAfter = 15.0,
    stack: Stack = "strandline",
    endpoint_url: EndpointUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the alerts of a stack, newest last.

    AWS region and credentials are taken from the environment or ~/.aws, as by every AWS tool.
    """
    from cloud_functions.clock import now_ms
    from cloud_functions.core.alert import State
    from cloud_functions.core.gateways import Silence, mark
    from device_sim.aws.store import CloudStore
    from strandline.account import open_account

    with open_account(stack, endpoint_url) as account:
        store = CloudStore(account)
        gateways = store.gateways() if gateway is None else [gateway]
        found = [alert for name in gateways for alert in store.alerts(name)]
        found = mark(account.telemetry(), found, Silence(now_ms(), round(silent_after * 60_000)))
    hidden = {State.PENDING, State.RESOLVED} if open_only else {State.PENDING}
    found = [alert for alert in found if alert["state"] not in hidden]
    found.sort(key=lambda alert: (alert["onset_ms"], alert["gateway"], alert["series"]))
    if as_json:
        typer.echo(json.dumps(found))
        return
    for alert in found:
        typer.echo(line(alert))
    typer.echo(f"{len(found)} alerts", err=True)


def line(alert: Mapping[str, Any]) -> str:
    """Return an alert (see cloud_functions.core.alert.Alert.to_dict, and gateways.mark) as a line of text."""
    values = [f"{name} {alert[name]:.6g}" for name in ("observed", "expected") if alert.get(name) is not None]
    text = (
        f"{utc(alert['onset_ms'])}  {alert['state']:<12} {alert['gateway']}  {alert['series']:<28}"
        f" {alert['cause']:<9} {alert.get('direction', ''):<7} score {alert['score']:6.2f}  {', '.join(values)}"
        f" {alert.get('unit', '')}"
    ).rstrip()
    if not alert.get("gateway_silent") or alert["state"] == "resolved":
        return text
    seen_ms = alert.get("gateway_last_seen_ms")
    return text + (f"  (gateway silent since {utc(seen_ms)})" if seen_ms else "  (no data from this gateway)")
