"""``strandline cost``: estimate of the AWS charges of a fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from strandline.command_line_options import AsJson
from strandline.text import print_json

if TYPE_CHECKING:
    from cloud_functions.costs.fleet_cost import Fleet, Measured


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("cost")(cost_command)


def cost_command(
    series: Annotated[int, typer.Option(min=1, help="Number of series per gateway.")] = 100,
    rate: Annotated[float, typer.Option(min=1e-6, help="Readings per second of each series.")] = 0.1,
    window: Annotated[float, typer.Option(min=0.1, help="Width of a window in seconds.")] = 10.0,
    batch_age: Annotated[
        float, typer.Option(min=0.1, help="Maximum age of a batch in seconds; then it is sent although not full.")
    ] = 60.0,
    gateways: Annotated[int, typer.Option(min=1, help="Number of gateways.")] = 1,
    raw_days: Annotated[float, typer.Option(min=1, help="Days for which batches are stored.")] = 7.0,
    rollup_days: Annotated[float, typer.Option(min=1, help="Days for which roll-ups are stored.")] = 90.0,
    alerts: Annotated[
        float, typer.Option(min=0, help="Alerts of each gateway a month: transitions, notifications, e-mails.")
    ] = 1.0,
    ruled: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the gateways that a cloud rule names, from 0 to 1.")
    ] = 0.0,
    compare: Annotated[
        bool, typer.Option("--compare", help="Add the cost of simpler ways to store the same readings.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Estimate the monthly AWS cost.

    The result is in US dollars at list prices of us-east-1, without the free tier. CPU times and sizes are those that
    benchmarks/cloud.py measured.
    """
    from cloud_functions.costs.fleet_cost import greengrass, json_batch, message_per_reading, monthly, sitewise
    from cloud_functions.costs.prices import UNCHECKED

    fleet, measured = fleet_of(gateways, series, rate, window, batch_age, alerts, ruled)
    items = monthly(fleet, measured, raw_days=raw_days, rollup_days=rollup_days)
    total = sum(items.values())
    others = {
        "one message a reading": message_per_reading(fleet),
        "deflated JSON batches": json_batch(fleet, measured),
        "AWS IoT SiteWise, ingestion only": sitewise(fleet),
    }
    if as_json:
        answer: dict[str, object] = {
            "items": items,
            "total_usd": total,
            "greengrass_usd": greengrass(fleet),
            "usd_per_million_readings": total / fleet.readings * 1e6,
        }
        answer |= {"unchecked_prices": list(UNCHECKED)}
        print_json(answer | ({"compare": others} if compare else {}))
        return
    for name, usd in sorted(items.items(), key=lambda item: -item[1]):
        typer.echo(f"{name:<42} ${usd:>14,.4f}")
    typer.echo(f"{'per month':<42} ${total:>14,.4f}")
    typer.echo(f"{'further, the fee of AWS IoT Greengrass':<42} ${greengrass(fleet):>14,.4f}")
    typer.echo(f"{'per million readings':<42} ${total / fleet.readings * 1e6:>14,.4f}")
    for name, usd in others.items() if compare else ():
        typer.echo(f"{'instead: ' + name:<42} ${usd:>14,.4f}  {usd / total:,.1f} times")
    if compare:
        typer.echo(
            "The price of SiteWise, $1 per million messages, was not verified; how it meters is that of its page."
        )
    typer.echo(f"Prices of November 2025; not compared with a second source: {', '.join(UNCHECKED)}.")


def fleet_of(
    gateways: int,
    series: int,
    rate: float,
    window_s: float,
    batch_age_s: float,
    alerts: float = 1.0,
    ruled: float = 0.0,
) -> tuple[Fleet, Measured]:
    """Return a fleet and the measured figures for its batches; a batch is sent when it is full or old."""
    from cloud_functions.costs.fleet_cost import Fleet, Measured
    from wire.limits import MAX_BATCH_BYTES

    measured = Measured.stored()
    most_rows = MAX_BATCH_BYTES / measured.bytes_per_row
    batch_s = min(max(batch_age_s, window_s), window_s * max(1.0, most_rows / series))
    # Gateways with more series than fit into a batch send several batches for each window.
    batch_s = min(batch_s, window_s * most_rows / series)
    fleet = Fleet(gateways, series, window_s, batch_s, rate, gateway_alerts=alerts, ruled=ruled)
    return fleet, measured.of(fleet)
