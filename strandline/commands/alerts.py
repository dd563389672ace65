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
    silent_after: Annotated[float, typer.Option(min=0.02, help="Minutes until a gateway counts as silent.")] = 15.0,
    stack: Annotated[str, typer.Option(help="The CloudFormation stack.")] = "strandline",
    endpoint_url: Annotated[str | None, typer.Option(help="A local cloud's; also AWS_ENDPOINT_URL.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array instead of a table.")] = False,
) -> None:
    """List alerts, the newest last; region and credentials as for every AWS tool."""
    from botocore.exceptions import BotoCoreError, ClientError

    from cloud_functions.adapters.dynamodb import DynamoTable
    from cloud_functions.clock import now_ms
    from cloud_functions.core.alert import State
    from cloud_functions.core.errors import StoreError
    from cloud_functions.core.gateways import Silence, mark
    from device_sim.aws.store import CloudStore
    from strandline.account import Account
    from strandline.errors import AccountError

    account = Account(stack, endpoint_url)
    store = CloudStore(account)
    try:
        gateways = store.gateways() if gateway is None else [gateway]
        found = [alert for name in gateways for alert in store.alerts(name)]
        telemetry = DynamoTable(account.outputs["TelemetryTableName"], account.client("dynamodb"))
        found = mark(telemetry, found, Silence(now_ms(), round(silent_after * 60_000)))
    except (BotoCoreError, ClientError, StoreError) as error:
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
    """Return an alert (see cloud_functions.core.alert.Alert.to_dict, and gateways.mark) as a line of text."""
    values = [f"{name} {alert[name]:.6g}" for name in ("observed", "expected") if alert.get(name) is not None]
    told = (
        f"{_moment(alert['onset_ms'])}  {alert['state']:<12} {alert['gateway']}  {alert['series']:<28}"
        f" {alert['cause']:<9} {alert.get('direction', ''):<7} score {alert['score']:6.2f}  {', '.join(values)}"
        f" {alert.get('unit', '')}"
    ).rstrip()
    # Of an alert that is over, the silence that followed tells nothing.
    if not alert.get("gateway_silent") or alert["state"] == "resolved":
        return told
    seen_ms = alert.get("gateway_last_seen_ms")
    return told + (f"  (gateway silent since {_moment(seen_ms)})" if seen_ms else "  (gateway never heard)")


def _moment(ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(ms / 1000))
