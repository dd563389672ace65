"""Stored data, read from the cloud's tables: the reference for demos, tests and chaos runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Protocol

from cloud_functions.adapters.dynamodb import to_item
from cloud_functions.core import keys
from cloud_functions.core.alert import from_item
from cloud_functions.core.batch_rows import rows_of
from cloud_functions.core.batches import StoredBatch
from cloud_functions.core.ports import Item
from cloud_functions.core.received_sequences import counts_of
from wire import codec
from wire.codec import Profile
from wire.model import Aggregates, Anomaly

_REPORT = re.compile(r"REPORT RequestId:.*Billed Duration: (?P<ms>\d+) ms\s+Memory Size: (?P<mb>\d+) MB")
FUNCTIONS = ("Ingest", "Alerting", "Notify", "Watch", "Compaction", "Api", "Archive", "Forecast")


class Account(Protocol):
    """Account with the deployed stack: the local cloud or AWS."""

    @property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs."""

    def client(self, service: str) -> Any:
        """Return a boto3 client."""


class CloudStore:
    """Reads the telemetry and the alerts table of an account."""

    def __init__(self, cloud: Account) -> None:
        self._cloud = cloud
        self._dynamodb = cloud.client("dynamodb")

    def gateways(self) -> list[str]:
        """Return the names of all gateways."""
        parts = (self._query("TelemetryTableName", keys.gateways(bucket)) for bucket in range(keys.BUCKETS))
        return sorted(str(item["sk"]) for part in parts for item in part)

    def about(self, gateway: str) -> dict[str, Any]:
        """Return the gateway's figures (batches, duplicates, rejected_..., acknowledgements) and its last notice."""
        found = {str(i["sk"]): i for i in self._query("TelemetryTableName", keys.about(gateway).pk)}
        figures: dict[str, Any] = dict(found.get(keys.ABOUT, {}))
        for item in found.values():
            if item["kind"] == "ack":
                figures |= {name: int(figures.get(name, 0)) + number for name, number in counts_of(item).items()}
        if keys.NOTICE in found:
            figures["counters"] = json.loads(str(found[keys.NOTICE]["counters"]))
        return {name: value for name, value in figures.items() if name not in ("pk", "sk", "kind")}

    def aggregates(self, gateway: str) -> Aggregates:
        """Return all rows of a gateway's stored batches, one batch after the other, duplicates included."""
        profiles: dict[int, Profile | None] = {}
        for item in self._query("TelemetryTableName", keys.profile(gateway, 0).pk):
            known = codec.decode_profile(bytes(item["body"]))[1]  # type: ignore[arg-type]
            profiles[known.version] = known
        stored = (batch for batch in self.batches(gateway) if batch.has_rows)
        return Aggregates.concatenate([rows_of(batch, lambda _, version: profiles.get(version)) for batch in stored])

    def anomalies(self, gateway: str) -> tuple[Anomaly, ...]:
        """Return all reports of a gateway, by onset."""
        found = self._query("TelemetryTableName", f"anomalies#{gateway}")
        return tuple(Anomaly.from_dict(json.loads(str(item["report"]))) for item in found)

    def alerts(self, gateway: str) -> list[dict[str, Any]]:
        """Return a gateway's alerts, by onset: what the api gives of each (see cloud_functions.core.alert)."""
        return [from_item(item).to_dict() for item in self._query("AlertsTableName", gateway)]

    def batches(self, gateway: str) -> list[StoredBatch]:
        """Return the stored batches of a gateway, by epoch and sequence."""
        pk = keys.batch(gateway, 0, 1).pk
        return [StoredBatch.of(item) for item in self._query("TelemetryTableName", pk)]

    def usage(self) -> dict[str, float]:
        """Return what AWS would have metered so far; device_sim.aws.cost puts prices to it.

        Counted from what is stored and from the functions' logs, in the units in which AWS bills: IoT rules and
        messages by 5 KB, writes by 1 KB an item.
        """
        usage: dict[str, float] = dict.fromkeys(("batches", "bytes", "rows", "duplicates", "acknowledgements"), 0)
        usage["metered_batches"] = usage["write_units"] = usage["items"] = usage["table_bytes"] = 0
        usage["table_items_read"] = 0
        for item in self._scan("TelemetryTableName"):
            size = item_bytes(item)
            usage["items"] += 1
            usage["table_bytes"] += size
            units = -(-size // 1024)
            if item["kind"] == "batch":
                usage["batches"] += 1
                usage["bytes"] += int(item["bytes"])
                usage["rows"] += int(item["rows"])
                usage["metered_batches"] += -(-int(item["bytes"]) // 5_120)
                # A batch with rows has an entry in the index by time.
                usage["write_units"] += units + ("at" in item)
            elif item["kind"] == "ack":
                usage["duplicates"] += int(item.get("duplicates", 0))
                usage["acknowledgements"] += int(item.get("acknowledgements", 0))
                usage["write_units"] += units * int(item["version"])
                usage["table_items_read"] += int(item["version"])
            else:
                usage["write_units"] += units
        usage["metered_batches"] += usage["duplicates"]
        usage["alerts"] = usage["alert_transitions"] = 0
        for item in self._scan("AlertsTableName"):
            units = -(-item_bytes(item) // 1024) * int(item.get("version", 1))
            # Each change of an alert writes the item and its copy in the index; other items have no copy.
            usage["write_units"] += 2 * units if item["kind"] == "alert" else units
            if item["kind"] == "alert":
                usage["alerts"] += 1
                usage["alert_transitions"] += int(item["version"])
        for name in FUNCTIONS:
            usage |= self._function_usage(name)
        return usage

    def _function_usage(self, name: str) -> dict[str, float]:
        """Invocations and GB-seconds of a function, from the REPORT line that Lambda logs after each."""
        function = self._cloud.outputs[f"{name}FunctionName"]
        configuration = self._cloud.client("lambda").get_function_configuration(FunctionName=function)
        pages = self._cloud.client("logs").get_paginator("filter_log_events")
        invocations, gb_s = 0, 0.0
        for page in pages.paginate(logGroupName=configuration["LoggingConfig"]["LogGroup"], filterPattern="REPORT"):
            for event in page["events"]:
                if report := _REPORT.match(event["message"]):
                    invocations += 1
                    gb_s += float(report["ms"]) / 1000 * float(report["mb"]) / 1024
        return {f"{name.lower()}_invocations": invocations, f"{name.lower()}_gb_s": gb_s}

    def _query(self, table: str, pk: str) -> Iterator[Item]:
        yield from self._pages(
            "query", table, KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": {"S": pk}}
        )

    def _scan(self, table: str, **request: Any) -> Iterator[Item]:
        yield from self._pages("scan", table, **request)

    def _pages(self, operation: str, table: str, **request: Any) -> Iterator[Item]:
        pages = self._dynamodb.get_paginator(operation)
        for page in pages.paginate(TableName=self._cloud.outputs[table], ConsistentRead=True, **request):
            yield from map(to_item, page["Items"])


def item_bytes(item: Item) -> int:
    """Return an item's size as DynamoDB counts it: names and values; a number about half its digits and one more."""
    size = 0
    for name, value in item.items():
        size += len(name.encode())
        if isinstance(value, bytes):
            size += len(value)
        else:
            size += len(value.encode()) if isinstance(value, str) else (len(str(value)) + 1) // 2 + 1
    return size
