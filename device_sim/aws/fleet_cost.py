"""Monthly AWS charges of a fleet, from measured CPU time and bytes, compared with simpler ways to send the same data.

Not included: the fee of AWS IoT Greengrass ($0.16 a core and month), data transfer, KMS, queries of the api, and alerts,
which are rare.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from device_sim.aws.prices import MILLION, US_EAST_1, Prices

BATCH_SERIES, BATCH_WINDOWS = 100, 6
BATCH_ROWS = BATCH_SERIES * BATCH_WINDOWS
"""Series, windows and rows of the batches that benchmarks/cloud.py measures."""
FIGURES = Path(__file__).with_name("measured.json")
MONTH_S = 730 * 3_600
GB = 1e9
_METERED = 5_120
"""Bytes of a metered unit of IoT Core."""
_LAMBDA_CPU = 1_769
"""Megabytes of memory for which a function has one processor."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Gateways that send rows of windows of ``window_s`` in batches of ``batch_s``; ``rate`` is readings a second."""

    gateways: int = 10_000
    series: int = 100
    window_s: float = 10.0
    batch_s: float = 60.0
    rate: float = 0.1
    notice_s: float = 300.0

    @property
    def batches(self) -> float:
        """Batches a month."""
        return self.gateways * MONTH_S / self.batch_s

    @property
    def rows(self) -> float:
        """Rows a month."""
        return self.gateways * self.series * MONTH_S / self.window_s

    @property
    def readings(self) -> float:
        """Readings a month."""
        return self.gateways * self.series * self.rate * MONTH_S


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of benchmarks/cloud.py for batches of ``BATCH_ROWS`` rows; CPU times are those of one processor."""

    batch_bytes: float
    ingest_cpu_ms: float
    compaction_cpu_ms: float
    """CPU time of compaction a batch: decoding, merging, roll-up, archive."""
    write_units: float
    read_units: float
    item_bytes: float
    rollup_bytes: float
    archive_bytes_per_row: float
    json_bytes: float
    """Size of the same rows as JSON, deflated."""

    @classmethod
    def stored(cls) -> Self:
        """Return the figures in ``measured.json``, which the benchmark writes."""
        return cls(**json.loads(FIGURES.read_text()))

    @property
    def bytes_per_row(self) -> float:
        """Bytes of a batch for each of its rows."""
        return self.batch_bytes / BATCH_ROWS

    def of(self, fleet: Fleet) -> Measured:
        """Return the figures for batches of a fleet: what depends on rows or series, in proportion to them."""
        rows, series = fleet.rows / fleet.batches / BATCH_ROWS, fleet.series / BATCH_SERIES
        size = self.batch_bytes * rows
        item = size + self.item_bytes - self.batch_bytes
        return replace(
            self,
            batch_bytes=size,
            compaction_cpu_ms=self.compaction_cpu_ms * rows,
            write_units=math.ceil(item / 1024) + self.write_units - math.ceil(self.item_bytes / 1024),
            item_bytes=item,
            rollup_bytes=self.rollup_bytes * series,
            json_bytes=self.json_bytes * rows,
        )


def monthly(
    fleet: Fleet, measured: Measured, usd: Prices = US_EAST_1, *, raw_days: float = 7, rollup_days: float = 90
) -> dict[str, float]:
    """Return the charges of a month by item, in dollars."""
    notices = fleet.gateways * MONTH_S / fleet.notice_s
    arrivals = fleet.batches + notices
    invocations = arrivals / 20
    hours = fleet.gateways * MONTH_S / 3_600
    ingest_gb_s = arrivals * measured.ingest_cpu_ms / 1000 * (_LAMBDA_CPU / 512) * 0.5
    compaction_gb_s = fleet.batches * measured.compaction_cpu_ms / 1000 * _LAMBDA_CPU / 1024
    # A stored batch and its entry in the index, each with the 100 bytes that DynamoDB adds.
    table_gb = fleet.batches * raw_days * 86_400 / MONTH_S * (measured.item_bytes + 330) / GB
    table_gb += hours * rollup_days * 86_400 / MONTH_S * (measured.rollup_bytes + 100) / GB
    metered = fleet.batches * math.ceil(measured.batch_bytes / _METERED) + notices
    return {
        "iot rules and actions": metered * (usd.iot_rule + usd.iot_action) / MILLION,
        "iot acknowledgements, sent and delivered": usd.iot_messages(2 * arrivals),
        "iot connectivity": fleet.gateways * MONTH_S / 60 * usd.iot_connected_minute / MILLION,
        "sqs": (arrivals + 2 * invocations) * usd.sqs_request / MILLION,
        "lambda requests": invocations * usd.lambda_request / MILLION,
        "lambda time of ingest": ingest_gb_s * usd.lambda_gb_s_each,
        "lambda time of compaction": compaction_gb_s * usd.lambda_gb_s_each,
        # A notice: its item as a batch, the gateway's last notice, and the received sequences.
        "dynamodb writes of batches": fleet.batches * measured.write_units * usd.dynamodb_write / MILLION,
        "dynamodb writes of notices": notices * 3 * usd.dynamodb_write / MILLION,
        "dynamodb writes of roll-ups": hours * math.ceil(measured.rollup_bytes / 1024) * usd.dynamodb_write / MILLION,
        # Ingest reads the received sequences, compaction reads each batch once.
        "dynamodb reads": (arrivals * measured.read_units + notices + fleet.batches) * usd.dynamodb_read / MILLION,
        "dynamodb storage": table_gb * usd.dynamodb_gb_month,
        "dynamodb point-in-time recovery": table_gb * usd.recovery_gb_month,
        "s3 storage of one month": fleet.rows * measured.archive_bytes_per_row / GB * usd.s3_gb_month,
        "s3 requests": math.ceil(fleet.gateways / 200) * 730 * 2 * usd.s3_put / MILLION,
        "logs": invocations * 600 / GB * usd.logs_gb,
    }


def message_per_reading(fleet: Fleet, usd: Prices = US_EAST_1) -> float:
    """Return the charges of a month if each reading is a message that a rule writes into a table, in dollars."""
    each = usd.iot_rule + usd.iot_action + usd.dynamodb_write
    return usd.iot_messages(fleet.readings) + fleet.readings * each / MILLION


def json_batch(fleet: Fleet, measured: Measured, usd: Prices = US_EAST_1, *, days: float = 90) -> float:
    """Return the charges of a month for batches of deflated JSON, each stored as one item for ``days``, in dollars.

    A rule writes it into the table: without acknowledgement, queue, function, archive or protection against loss.
    """
    metered = fleet.batches * math.ceil(measured.json_bytes / _METERED)
    units = fleet.batches * math.ceil((measured.json_bytes + 150) / 1024)
    table_gb = fleet.batches * days * 86_400 / MONTH_S * (measured.json_bytes + 250) / GB
    per_million = metered * (usd.iot_rule + usd.iot_action) + units * usd.dynamodb_write
    stored = table_gb * (usd.dynamodb_gb_month + usd.recovery_gb_month)
    return usd.iot_messages(metered) + per_million / MILLION + stored
