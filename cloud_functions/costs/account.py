"""Estimate of the account's charges for a month at its present rate.

The rate is that of the gateways' counters since each of them was first seen, for the gateways that were seen in the
last day. At most ``MAX_READ`` gateways are read, those of the first partitions of the list; partitions are hashes of
the names, so the amounts of the others are taken as in proportion.

A gateway has no counter of notices: with a last notice it is taken to send one every ``NOTICE_S``, the default of the
forwarder. The size of a batch is that of all its gateway's messages for each batch of rows, thus slightly too high. The
function's time for a request of telemetry over HTTP is taken to be that for a batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cloud_functions.core import keys
from cloud_functions.core.configuration import Configuration
from cloud_functions.core.gateways import GatewayState, names, read_state
from cloud_functions.core.ports import Table
from cloud_functions.core.received_sequences import counts_of
from cloud_functions.costs.fleet_cost import GB, MONTH_S, Measured, greengrass, lambda_share, monthly
from cloud_functions.costs.prices import MILLION, US_EAST_1, Prices

MAX_READ = 100
ACTIVE_MS = 86_400_000
MIN_S = 60
"""Minimum time over which a rate is taken, so that the first batch of a new gateway is not a rate of its own."""
NOTICE_S = 300
API_MEMORY_MB = 512
"""Memory of the api function in the template."""


@dataclass(frozen=True, slots=True)
class GatewayRate:
    """Traffic of a gateway; the amounts are those of a month."""

    first_seen_ms: int
    connected: bool
    batches: float
    notices: float
    rows: float
    bytes: float
    posts: float
    series: int
    alerts: float


@dataclass(frozen=True, slots=True)
class AccountTraffic:
    """Traffic of the account; the amounts are those of a month. ``gateways`` are those that are connected."""

    gateways: float
    batches: float
    notices: float
    rows: float
    bytes: float
    posts: float
    series: float
    """Mean number of series of a gateway."""
    alerts: float = 0.0
    ruled: float = 0.0
    """Share of the gateways that a cloud rule names."""

    @classmethod
    def of(cls, rates: Iterable[GatewayRate], scale: float, ruled: float = 0.0) -> AccountTraffic:
        """Return the sums over gateways, times ``scale``."""
        listed = list(rates)
        return cls(
            gateways=scale * sum(rate.connected for rate in listed),
            batches=scale * sum(rate.batches for rate in listed),
            notices=scale * sum(rate.notices for rate in listed),
            rows=scale * sum(rate.rows for rate in listed),
            bytes=scale * sum(rate.bytes for rate in listed),
            posts=scale * sum(rate.posts for rate in listed),
            series=sum(rate.series for rate in listed) / max(1, len(listed)),
            alerts=scale * sum(rate.alerts for rate in listed),
            ruled=ruled,
        )


def estimate(
    telemetry: Table,
    alerts: Table,
    now_ms: int,
    measured: Measured,
    raw_ms: int,
    rollup_ms: int,
    usd: Prices = US_EAST_1,
) -> dict[str, Any]:
    """Return the charges of a month by item, in dollars, with the traffic from which they follow."""
    known = list(names(telemetry))
    states = [(name, read_state(telemetry, name)) for name in known[:MAX_READ]]
    rates = [_rate(telemetry, alerts, name, state, now_ms) for name, state in states if _is_active(state, now_ms)]
    scale = len(known) / max(1, len(states))
    rules = Configuration(alerts, lambda: now_ms).rules()
    ruled = sum(any(rule.applies_to_gateway(name) for rule in rules) for name, _ in states)
    traffic = AccountTraffic.of(rates, scale, ruled / max(1, len(states)))
    items = charges(traffic, measured, raw_ms, rollup_ms, usd)
    amounts = ("batches", "notices", "rows", "bytes", "posts", "alerts")
    return {
        "currency": "USD",
        "gateways": len(known),
        "gateways_read": len(states),
        "gateways_active": round(scale * len(rates)),
        "since_ms": min((rate.first_seen_ms for rate in rates), default=None),
        "month": {name: round(getattr(traffic, name)) for name in amounts},
        "items": items,
        "total": sum(items.values()),
        "greengrass": greengrass(traffic, usd),
    }


def charges(
    traffic: AccountTraffic, measured: Measured, raw_ms: int, rollup_ms: int, usd: Prices = US_EAST_1
) -> dict[str, float]:
    """Return the charges of a month by item, in dollars; posts are requests of telemetry over HTTP."""
    stored = traffic.batches + traffic.posts
    figures = measured
    if stored:
        figures = measured.scaled(traffic.rows / stored, traffic.series, traffic.bytes / stored)
    days = {"raw_days": raw_ms / 86_400_000, "rollup_days": rollup_ms / 86_400_000}
    items = monthly(traffic, figures, usd, **days)
    stored_gb = (figures.item_bytes + 330) / GB * raw_ms / 1000 / MONTH_S
    request_s = figures.ingest_cpu_ms / 1000 / lambda_share(API_MEMORY_MB)
    items["http telemetry"] = traffic.posts * (
        # The batch, its entry in the index, and the gateway's figures.
        (usd.http_request + usd.lambda_request + (figures.write_units + 1) * usd.dynamodb_write) / MILLION
        + request_s * API_MEMORY_MB / 1024 * usd.lambda_gb_s_each
        + stored_gb * (usd.dynamodb_gb_month + usd.recovery_gb_month)
    )
    return items


def _is_active(state: GatewayState, now_ms: int) -> bool:
    return state.last_seen_ms is not None and now_ms - state.last_seen_ms <= ACTIVE_MS


def _rate(telemetry: Table, alerts: Table, name: str, state: GatewayState, now_ms: int) -> GatewayRate:
    """Return the rate of a gateway since it was first seen."""
    first_ms = state.first_seen_ms or now_ms
    seconds = max(MIN_S, (now_ms - first_ms) / 1000)
    months = seconds / MONTH_S
    figures = state.figures()
    batches = sum(counts_of(epoch)["batches"] for epoch in state.epochs)
    notices = MONTH_S / NOTICE_S if state.notice is not None else 0.0
    prefix = keys.series(name, "")
    alerts_s = min(seconds, MONTH_S)
    recent = alerts.query(name, keys.time(max(0, now_ms - round(alerts_s * 1000))), "~")
    return GatewayRate(
        first_seen_ms=first_ms,
        connected=bool(state.epochs),
        batches=max(0.0, batches / months - notices),
        notices=notices,
        rows=figures["rows"] / months,
        bytes=figures["bytes"] / months,
        posts=(figures["batches"] - batches) / months,
        series=sum(1 for _ in telemetry.query(prefix.pk, prefix.sk, prefix.sk + "\x7f")),
        alerts=sum(1 for _ in recent) * MONTH_S / alerts_s,
    )
