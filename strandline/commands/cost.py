"""``strandline cost``: estimate of the AWS charges."""

from __future__ import annotations

import json
import math
from typing import Annotated

import typer

from strandline.command_line_options import AsJson

MONTH_SECONDS = 30 * 86_400.0
RECORD_OVERHEAD_BYTES = 280
"""Keys, names and times of a record, and the overhead of its columns (about 80 bytes)."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("cost")(cost_command)


def cost_command(
    series: Annotated[int, typer.Option(min=1, help="Number of series per gateway.")] = 24,
    rate: Annotated[float, typer.Option(min=1e-6, help="Readings per second of each series.")] = 5.0,
    window: Annotated[float, typer.Option(min=0.1, help="Width of a window in seconds.")] = 10.0,
    bytes_per_aggregate: Annotated[
        float,
        typer.Option(
            min=0.1,
            help="Bytes per aggregate on the wire; the default was measured by benchmarks/wire.py "
            "with 24 series and six windows per batch.",
        ),
    ] = 4.1,
    batch_age: Annotated[
        float, typer.Option(min=0.1, help="Maximum age of a batch in seconds; then it is sent although not full.")
    ] = 60.0,
    invocation_ms: Annotated[
        float, typer.Option(min=1, help="Duration of an ingest invocation in milliseconds.")
    ] = 40.0,
    alerts: Annotated[float, typer.Option(min=0, help="Alerts per month and gateway.")] = 10.0,
    gateways: Annotated[int, typer.Option(min=1, help="Number of gateways.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Estimate the monthly AWS cost.

    The result is in US dollars at list prices of us-east-1, without the free tier.
    """
    from device_sim.aws.cost import cost

    usage = estimated_usage(series, rate, window, bytes_per_aggregate, batch_age, invocation_ms, alerts)
    usage = {name: amount * gateways for name, amount in usage.items()}
    charged = cost(usage)
    if as_json:
        typer.echo(json.dumps({"usage": usage, **charged}))
        return
    for name, usd in sorted(charged["items"].items(), key=lambda item: -item[1]):
        typer.echo(f"{name:<24} ${usd:>12.4f}")
    typer.echo(f"{'per month':<24} ${charged['total_usd']:>12.4f}")
    typer.echo(f"{'per million readings':<24} ${charged['usd_per_million_readings']:>12.4f}")
    typer.echo(f"{'storage per month kept':<24} ${charged['storage_usd_per_month']:>12.4f}")


def estimated_usage(
    series: int,
    rate: float,
    window: float,
    bytes_per_aggregate: float,
    batch_age: float,
    invocation_ms: float,
    alerts: float,
) -> dict[str, float]:
    """Return a gateway's usage per month with the keys of CloudStore.usage(), at one invocation per batch (worst case).

    A batch is sent when it is full (5,000 bytes) or old; each of its series is one item of the table.
    """
    from wire.limits import MAX_BATCH_BYTES

    rows = series * MONTH_SECONDS / window
    rows_a_batch = max(1.0, min(MAX_BATCH_BYTES / bytes_per_aggregate, series * max(1.0, batch_age / window)))
    batches = rows / rows_a_batch
    series_a_batch = min(series, rows_a_batch)
    record = RECORD_OVERHEAD_BYTES + bytes_per_aggregate * rows_a_batch / series_a_batch
    onsets_and_ends = 2 * alerts
    invocations = batches + onsets_and_ends
    return {
        "readings": series * rate * MONTH_SECONDS,
        "batches": invocations,
        "duplicates": 0.0,
        "metered_batches": invocations,
        "acknowledgements": invocations,
        "alert_transitions": onsets_and_ends,
        # Besides the records: the batch's receipt, the acknowledgement's state and the gateway's figures.
        "write_units": batches * series_a_batch * math.ceil(record / 1024) + 3 * invocations + 4 * onsets_and_ends,
        "table_items_read": 2 * invocations,
        "table_bytes": batches * (series_a_batch * record + 300),
        "ingest_invocations": invocations,
        "ingest_gb_s": invocations * invocation_ms / 1000 * 0.5,
        "alerting_invocations": 2 * onsets_and_ends,
        "alerting_gb_s": 2 * onsets_and_ends * invocation_ms / 1000 * 0.25,
        "api_invocations": 0.0,
        "api_gb_s": 0.0,
        "forecast_invocations": 0.0,
        "forecast_gb_s": 0.0,
    }
