"""``strandline alerts``: the alerts that the cloud has."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("alerts")(alerts_command)


def alerts_command(
    gateway: Annotated[str | None, typer.Option(help="Only this gateway's; by default those of all.")] = None,
    open_only: Annotated[bool, typer.Option("--open", help="Only those that are not resolved.")] = False,
    stack: Annotated[str, typer.Option(help="The CloudFormation stack.")] = "strandline",
    endpoint_url: Annotated[str | None, typer.Option(help="A local cloud's; also AWS_ENDPOINT_URL.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array instead of a table.")] = False,
) -> None:
    """List alerts, the newest last; region and credentials as for every AWS tool."""
    from botocore.exceptions import BotoCoreError, ClientError

    from cloud_functions.core.alert import State
    from device_sim.account import Account
    from device_sim.cloud.store import CloudStore
    from device_sim.errors import AccountError

    store = CloudStore(Account(stack, endpoint_url))
    try:
        gateways = store.gateways() if gateway is None else [gateway]
        found = [alert for name in gateways for alert in store.alerts(name)]
    except (BotoCoreError, ClientError) as error:
        raise AccountError(f"stack {stack}: {error}") from error
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
    """Return an alert (see cloud_functions.core.alert.Alert.to_dict) as a line of text."""
    onset = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(alert["onset_ms"] / 1000))
    values = [f"{name} {alert[name]:.6g}" for name in ("observed", "expected") if alert.get(name) is not None]
    return (
        f"{onset}Z  {alert['state']:<12} {alert['gateway']}  {alert['series']:<28} {alert['cause']:<9}"
        f" {alert.get('direction', ''):<7} score {alert['score']:6.2f}  {', '.join(values)} {alert.get('unit', '')}"
    ).rstrip()
