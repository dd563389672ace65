"""Estimate of the AWS charges for a usage that was counted.

A transition of an alert is taken to be delivered once over each of SNS, EventBridge and MQTT. Writes of items of the
alerts table that were deleted again (groups of notifications), and polls of idle queues are not counted.

Not included: data transfer, CloudWatch logs, KMS, backups, and the fee of AWS IoT Greengrass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloud_functions.costs.prices import MILLION, US_EAST_1, Prices

_FUNCTIONS = ("ingest", "alerting", "notify", "watch", "compaction", "api", "archive", "forecast")


def cost(usage: Mapping[str, float], prices: Prices = US_EAST_1) -> dict[str, Any]:
    """Return ``{"items": {what: usd}, "total_usd", "usd_per_million_readings", "storage_usd_per_month"}``.

    ``usage`` is CloudStore.usage(); with ``readings`` in it (how many went into what was sent) the total is also given
    per million of them, else that is None. The total excludes storage, which is charged per month.
    """
    batches, metered = usage["batches"] + usage["duplicates"], usage["metered_batches"]
    # A long poll and a delete carry up to ten messages; a batch shares them with those of its invocation.
    # A delivery is sent by a request of its own, and shares the other two with those of its invocation of notify.
    requests = batches + 2 * usage["ingest_invocations"]
    requests += usage["alert_transitions"] + 2 * usage.get("notify_invocations", 0)
    items = {
        "iot rules and actions": metered * (prices.iot_rule + prices.iot_action),
        "iot acknowledgements": usage["acknowledgements"] * prices.iot_message,
        "iot alerts": usage["alert_transitions"] * prices.iot_message,
        "sqs": requests * prices.sqs_request,
        "lambda requests": _functions(usage, "invocations") * prices.lambda_request,
        "lambda time": _functions(usage, "gb_s") * prices.lambda_gb_s_each * MILLION,
        "dynamodb writes": usage["write_units"] * prices.dynamodb_write,
        "dynamodb reads": usage["table_items_read"] * prices.dynamodb_read,
        "sns": usage["alert_transitions"] * prices.sns_publish,
        "eventbridge": usage["alert_transitions"] * prices.eventbridge_put,
        "http api": (usage["api_invocations"] + usage["forecast_invocations"]) * prices.http_request,
    }
    items = {name: amount / MILLION for name, amount in items.items()}
    total, readings = sum(items.values()), usage.get("readings", 0)
    return {
        "items": items,
        "total_usd": total,
        "usd_per_million_readings": total / readings * MILLION if readings else None,
        "storage_usd_per_month": usage["table_bytes"] / 1024**3 * prices.dynamodb_gb_month,
    }


def _functions(usage: Mapping[str, float], what: str) -> float:
    return sum(usage.get(f"{name}_{what}", 0) for name in _FUNCTIONS)
