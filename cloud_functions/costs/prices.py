"""Prices of AWS services in us-east-1, on demand, without the free tier.

As of November 2025, from https://aws.amazon.com/iot-core/pricing, /greengrass/pricing, /lambda/pricing (arm64),
/dynamodb/pricing/on-demand, /sqs/pricing, /s3/pricing, /cloudwatch/pricing, /xray/pricing, /sns/pricing,
/eventbridge/pricing, /ses/pricing and /api-gateway/pricing. These pages show prices by script, so that stored copies of
them have none; ``CHECKED`` has what could be compared with another dated text, ``UNCHECKED`` the others. How SiteWise
meters is that of its page: ingestion in near real time, by 1 KB or 10 data points of a data stream.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

MILLION = 1_000_000
MESSAGE_TIERS = ((1e9, 1.0), (4e9, 0.8), (math.inf, 0.7))
"""Successive numbers of IoT messages a month and the share of the price that each of them costs."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices in US dollars; per million unless the name states otherwise."""

    iot_message: float = 1.00
    iot_rule: float = 0.15
    iot_action: float = 0.15
    iot_connected_minute: float = 0.08
    greengrass_core_month_each: float = 0.16
    sqs_request: float = 0.40
    lambda_request: float = 0.20
    lambda_gb_s_each: float = 0.0000133334
    dynamodb_write: float = 0.625
    dynamodb_read: float = 0.125
    dynamodb_gb_month: float = 0.25
    recovery_gb_month: float = 0.20
    s3_put: float = 5.0
    s3_gb_month: float = 0.023
    logs_gb: float = 0.50
    metric_each: float = 0.30
    alarm_each: float = 0.10
    dashboard_each: float = 3.00
    trace: float = 5.00
    sns_publish: float = 0.50
    eventbridge_put: float = 1.00
    ses_email: float = 100.0
    http_request: float = 1.00
    sitewise_message: float = 1.00

    def iot_messages(self, messages: float) -> float:
        """Return the price of a month's IoT messages in dollars; more of them cost less each."""
        left, total = messages, 0.0
        for most, share in MESSAGE_TIERS:
            part = min(left, most)
            total, left = total + part * share * self.iot_message / MILLION, left - part
        return total


US_EAST_1 = Prices()

CHECKED = {
    "iot_message": "transcript of aws.amazon.com/iot-core/pricing, read 2026-09-20: $1 per million (Ireland)",
    "iot_connected_minute": "transcript of aws.amazon.com/iot-core/pricing, read 2026-09-20: $0.08 (Ireland)",
    "greengrass_core_month_each": "transcript of aws.amazon.com/greengrass/pricing, read 2026-10-07: $0.16",
    "lambda_request": "transcript of aws.amazon.com/lambda/pricing, read 2026-09-20: $0.20 per million",
    "lambda_gb_s_each": "table of artillery 2.0.28 after aws.amazon.com/lambda/pricing: $0.0000133334 for arm64",
    "dynamodb_gb_month": "summary of AWS' prices by others, 2020: $0.25",
    "recovery_gb_month": "summary of AWS' prices by others, 2020: $0.20",
    "s3_gb_month": "summary of AWS' prices by others, 2020: $0.023",
    "sns_publish": "summary of AWS' prices by others, 2020: $0.50 per million",
    "sqs_request": "summary of AWS' prices by others, 2020: $0.40 per million",
    "ses_email": "a tutorial on Amazon SES without a date: from $0.10 per thousand",
}
"""Prices that agree with another text, and this text."""
UNCHECKED = tuple(sorted({field.name for field in fields(Prices)} - CHECKED.keys()))
"""Prices that were not found in another text."""
