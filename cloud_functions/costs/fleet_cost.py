"""Monthly AWS charges of a fleet, from measured CPU time and bytes, compared with simpler ways to send the same data.

Included is what the template has at its defaults. Not included: data transfer, KMS, and queries of the api, with those
of the archive. The fee of AWS IoT Greengrass, which does not depend on the data, is stated apart (:func:`greengrass`).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self

from cloud_functions.costs.prices import MILLION, US_EAST_1, Prices

BATCH_SERIES, BATCH_WINDOWS = 100, 6
BATCH_ROWS = BATCH_SERIES * BATCH_WINDOWS
"""Series, windows and rows of the batches that benchmarks/cloud.py measures."""
FIGURES = Path(__file__).with_name("measured.json")
MONTH_S = 730 * 3_600
GB = 1e9
_METERED = 5_120
"""Bytes of a metered unit of IoT Core."""
_SITEWISE_VALUES = 10
"""Values of a data stream in a metered message of SiteWise."""
_LAMBDA_CPU = 1_769
"""Megabytes of memory for which a function has one processor."""


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """Settings of ingest in the template: of the bulk queue's mapping, and of the function."""

    batch_size: int = 20
    concurrency: int = 64
    visibility_s: int = 180
    receives: int = 5
    memory_mb: int = 256
    timeout_s: int = 30


INGEST_LIMITS = IngestLimits()
SHARD_GATEWAYS = 200
LOG_BYTES, METRICS, ALARMS = 1_500, 30, 34
"""Bytes of log lines of an invocation of ingest (Lambda's own three, and one with metrics); metrics and alarms."""
_FILE_REQUESTS = 3
"""Requests for a file of an hour: the upload, and those that look for it or merge it, at the price of an upload."""
NEW_TABLE_UNITS = 4_000
"""Write units a second that a new on-demand table sustains."""
REQUEST_S = 0.010
"""Assumed latency of a request of a function to DynamoDB or IoT Core; AWS documents single-digit milliseconds."""


WATCH_MEMORY_MB, WATCH_S, WATCH_WORKERS = 1_024, 60, 16
"""Memory of the watch function, interval of its runs, and the runs that can work at once: the shards."""
WATCH_SLOTS, WATCH_FEW = 5, 10
"""Minutes in one of which a gateway without rules is watched, and gateways of a shard up to which each minute is."""
NOTIFY_MEMORY_MB = 256
QUEUES, POLLERS, POLL_S = 9, 5, 20
"""Queues that functions poll, six of them those of the channels; pollers of an idle queue and time of a poll, taken
from memory of AWS's guide to Lambda and not measured."""
ALERT_TRANSITIONS, ALERT_CHANNELS, ALERT_EMAILS = 3, 3, 2
"""Transitions of an alert (fired, acknowledged, resolved), the channels of the built-in route, which receive each, and
e-mails to people of an alert (fired, resolved): with groups there are fewer."""
ALERT_WRITES = 2 + 1 + ALERT_TRANSITIONS * (2 + 3 + 2)
"""Write units of an alert: two reports, the record of its opening, and for each transition the item and its entry in
the index, the head of a group three times, and a member of it twice."""


def lambda_share(memory_mb: float) -> float:
    """Return the part of a processor that Lambda gives a function with this memory."""
    return memory_mb / _LAMBDA_CPU


class Traffic(Protocol):
    """Traffic of gateways; the amounts are those of a month."""

    @property
    def gateways(self) -> float:
        """Connected gateways."""

    @property
    def batches(self) -> float:
        """Batches of rows."""

    @property
    def notices(self) -> float:
        """Notices of the forwarders."""

    @property
    def rows(self) -> float:
        """Rows of the batches."""

    @property
    def alerts(self) -> float:
        """Alerts that fire."""

    @property
    def ruled(self) -> float:
        """Share of the gateways that a cloud rule names."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Gateways that send rows of windows of ``window_s`` in batches of ``batch_s``; ``rate`` is readings a second."""

    gateways: int = 10_000
    series: int = 100
    window_s: float = 10.0
    batch_s: float = 60.0
    rate: float = 0.1
    notice_s: float = 300.0
    gateway_alerts: float = 1.0
    """Alerts a month of a gateway: an assumption."""
    ruled: float = 0.0
    """Share of the gateways that a cloud rule names."""

    @property
    def batches(self) -> float:
        """Batches a month."""
        return self.gateways * MONTH_S / self.batch_s

    @property
    def notices(self) -> float:
        """Notices a month."""
        return self.gateways * MONTH_S / self.notice_s

    @property
    def rows(self) -> float:
        """Rows a month."""
        return self.gateways * self.series * MONTH_S / self.window_s

    @property
    def alerts(self) -> float:
        """Alerts a month."""
        return self.gateways * self.gateway_alerts

    @property
    def readings(self) -> float:
        """Readings a month."""
        return self.gateways * self.series * self.rate * MONTH_S


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of benchmarks/cloud.py for batches of ``BATCH_ROWS`` rows; CPU times are those of one processor."""

    batch_bytes: float
    ingest_cpu_ms: float
    """CPU time of ingest a batch, with its acknowledgement."""
    repeated_cpu_ms: float
    """The same of a batch that is stored already."""
    requests: float
    """Requests of ingest a batch: to the table, and the acknowledgement."""
    compaction_cpu_ms: float
    """CPU time of compaction a batch: decoding, merging, roll-up, archive."""
    write_units: float
    read_units: float
    item_bytes: float
    rollup_bytes: float
    archive_bytes_per_row: float
    json_bytes: float
    """Size of the same rows as JSON, deflated."""
    watch_cpu_ms: float
    """CPU time of watch for a gateway without rules and a minute; the same for requests and units."""
    watch_requests: float
    watch_write_units: float
    watch_read_units: float
    watch_ruled_cpu_ms: float
    """CPU time of watch for a gateway that a cloud rule names and a minute, of whose batch it decodes the rows."""
    watch_ruled_requests: float
    watch_ruled_write_units: float
    watch_ruled_read_units: float

    @classmethod
    def stored(cls) -> Self:
        """Return the figures in ``measured.json``, which the benchmark writes."""
        return cls(**json.loads(FIGURES.read_text()))

    @property
    def ingest_s(self) -> float:
        """Time of the function for a batch: CPU time at its share of a processor, and one request after the other."""
        return self.ingest_cpu_ms / 1000 / lambda_share(INGEST_LIMITS.memory_mb) + self.requests * REQUEST_S

    @property
    def bytes_per_row(self) -> float:
        """Bytes of a batch for each of its rows."""
        return self.batch_bytes / BATCH_ROWS

    def of(self, fleet: Fleet) -> Measured:
        """Return the figures for batches of a fleet: what depends on rows or series, in proportion to them."""
        return self.scaled(fleet.rows / fleet.batches, fleet.series)

    def scaled(self, batch_rows: float, series: float, batch_bytes: float | None = None) -> Measured:
        """Return the figures for batches of ``batch_rows`` rows; their size is in proportion to the rows unless given.

        ``series`` is the number of series of a gateway, which determines the size of its roll-ups.
        """
        rows = batch_rows / BATCH_ROWS
        size = self.batch_bytes * rows if batch_bytes is None else batch_bytes
        item = size + self.item_bytes - self.batch_bytes
        return replace(
            self,
            batch_bytes=size,
            compaction_cpu_ms=self.compaction_cpu_ms * rows,
            write_units=math.ceil(item / 1024) + self.write_units - math.ceil(self.item_bytes / 1024),
            item_bytes=item,
            rollup_bytes=self.rollup_bytes * series / BATCH_SERIES,
            json_bytes=self.json_bytes * rows,
            # What it adds to the CPU time without rules is decoding.
            watch_ruled_cpu_ms=self.watch_cpu_ms + (self.watch_ruled_cpu_ms - self.watch_cpu_ms) * rows,
        )


def monthly(
    fleet: Traffic, measured: Measured, usd: Prices = US_EAST_1, *, raw_days: float = 7, rollup_days: float = 90
) -> dict[str, float]:
    """Return the charges of a month by item, in dollars."""
    notices = fleet.notices
    arrivals = fleet.batches + notices
    invocations = arrivals / INGEST_LIMITS.batch_size
    hours = fleet.gateways * MONTH_S / 3_600
    files = math.ceil(fleet.gateways / SHARD_GATEWAYS) * MONTH_S / 3_600
    ingest_gb_s = arrivals * measured.ingest_s * INGEST_LIMITS.memory_mb / 1024
    compaction_gb_s = fleet.batches * measured.compaction_cpu_ms / 1000 * _LAMBDA_CPU / 1024
    # A stored batch and its entry in the index, each with the 100 bytes that DynamoDB adds.
    table_gb = fleet.batches * raw_days * 86_400 / MONTH_S * (measured.item_bytes + 330) / GB
    table_gb += hours * rollup_days * 86_400 / MONTH_S * (measured.rollup_bytes + 100) / GB
    metered = fleet.batches * math.ceil(measured.batch_bytes / _METERED) + notices
    return {
        "iot rules and actions": metered * (usd.iot_rule + usd.iot_action) / MILLION,
        "iot acknowledgements, sent and delivered": usd.iot_messages(2 * arrivals),
        "iot connectivity": fleet.gateways * MONTH_S / 60 * usd.iot_connected_minute / MILLION,
        # A request to receive and one to delete carry at most ten messages.
        "sqs": (arrivals + 2 * invocations * math.ceil(INGEST_LIMITS.batch_size / 10)) * usd.sqs_request / MILLION,
        "lambda requests": invocations * usd.lambda_request / MILLION,
        "lambda time of ingest": ingest_gb_s * usd.lambda_gb_s_each,
        "lambda time of compaction": compaction_gb_s * usd.lambda_gb_s_each,
        # A notice: its item as a batch, the gateway's last notice, and the received sequences.
        "dynamodb writes of batches": fleet.batches * measured.write_units * usd.dynamodb_write / MILLION,
        "dynamodb writes of notices": notices * 3 * usd.dynamodb_write / MILLION,
        "dynamodb writes of roll-ups": hours * math.ceil(measured.rollup_bytes / 1024) * usd.dynamodb_write / MILLION,
        # Ingest reads the received sequences, and the last notice. Compaction reads by queries, which are charged for
        # the sum of what they read: the index (150 bytes a batch), each batch once, the notices (400 bytes) in between.
        "dynamodb reads": (
            arrivals * measured.read_units
            + notices
            + (fleet.batches * (150 + measured.item_bytes) + notices * 400) / 4096
        )
        * usd.dynamodb_read
        / MILLION,
        **_alerting(fleet, measured, usd),
        "dynamodb storage": table_gb * usd.dynamodb_gb_month,
        "dynamodb point-in-time recovery": table_gb * usd.recovery_gb_month,
        "s3 storage of one month": fleet.rows * measured.archive_bytes_per_row / GB * usd.s3_gb_month,
        "s3 requests": files * _FILE_REQUESTS * usd.s3_put / MILLION,
        "logs": invocations * LOG_BYTES / GB * usd.logs_gb,
        # Lambda samples the first invocation of each second and a twentieth of the others.
        "traces": (min(MONTH_S, invocations) + 0.05 * max(0.0, invocations - MONTH_S)) * usd.trace / MILLION,
        "metrics, alarms and dashboard": METRICS * usd.metric_each + ALARMS * usd.alarm_each + usd.dashboard_each,
    }


def watch_s(fleet: Traffic, measured: Measured) -> float:
    """Return the time of the watch function that each minute needs: above ``WATCH_WORKERS`` minutes it is behind."""
    cpu_ms = _of_both(fleet, measured.watch_cpu_ms, measured.watch_ruled_cpu_ms)
    requests = _of_both(fleet, measured.watch_requests, measured.watch_ruled_requests)
    return fleet.gateways * (cpu_ms / 1000 / lambda_share(WATCH_MEMORY_MB) + requests * REQUEST_S)


def _of_both(fleet: Traffic, plain: float, ruled: float) -> float:
    """Return the mean over gateways without and with rules; of a few gateways, all are watched each minute."""
    each = plain * (WATCH_SLOTS if fleet.gateways <= WATCH_WORKERS * WATCH_FEW else 1)
    return each + max(0.0, ruled - each) * fleet.ruled


def _alerting(fleet: Traffic, measured: Measured, usd: Prices) -> dict[str, float]:
    """Return the charges of watch, notify and the channels; of a watch that is behind those of what it does."""
    needed_s, runs = watch_s(fleet, measured), MONTH_S / WATCH_S
    done = min(1.0, WATCH_WORKERS * WATCH_S / needed_s) if needed_s else 1.0
    watched = fleet.gateways * runs * done
    write_units = _of_both(fleet, measured.watch_write_units, measured.watch_ruled_write_units)
    read_units = _of_both(fleet, measured.watch_read_units, measured.watch_ruled_read_units)
    published, emails = fleet.alerts * ALERT_TRANSITIONS, fleet.alerts * ALERT_EMAILS
    deliveries = published * ALERT_CHANNELS + emails
    # A delivery reads the channel's settings at most, and is one request to its service.
    notify_gb_s = deliveries * 2 * REQUEST_S * NOTIFY_MEMORY_MB / 1024
    return {
        "lambda time of watch": runs * needed_s * done * WATCH_MEMORY_MB / 1024 * usd.lambda_gb_s_each,
        "lambda requests and time of notify": deliveries * usd.lambda_request / MILLION
        + notify_gb_s * usd.lambda_gb_s_each,
        "dynamodb writes of watch": watched * write_units * usd.dynamodb_write / MILLION,
        "dynamodb reads of watch": watched * read_units * usd.dynamodb_read / MILLION,
        "dynamodb writes of alerts": fleet.alerts * ALERT_WRITES * usd.dynamodb_write / MILLION,
        # Each delivery is sent, received and deleted.
        "sqs deliveries": 3 * deliveries * usd.sqs_request / MILLION,
        "sqs polls of idle queues": QUEUES * POLLERS * MONTH_S / POLL_S * usd.sqs_request / MILLION,
        "publications of alerts": published * (usd.sns_publish + usd.eventbridge_put + usd.iot_message) / MILLION,
        "e-mails of alerts": emails * usd.ses_email / MILLION,
    }


def greengrass(fleet: Traffic, usd: Prices = US_EAST_1) -> float:
    """Return the fee of AWS IoT Greengrass for a month, in dollars."""
    return fleet.gateways * usd.greengrass_core_month_each


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


def sitewise(fleet: Fleet, usd: Prices = US_EAST_1) -> float:
    """Return the charges of a month for the ingestion of all readings into AWS IoT SiteWise, in dollars.

    The readings of a series in the time of a batch are sent together; up to ten of them are one metered message.
    Storage, computations and queries of SiteWise are not included.
    """
    readings = max(1.0, fleet.rate * fleet.batch_s)
    times = min(1 / fleet.batch_s, fleet.rate) * MONTH_S
    messages = fleet.gateways * fleet.series * times * math.ceil(readings / _SITEWISE_VALUES)
    return messages * usd.sitewise_message / MILLION
