"""Cost of the watch function for benchmarks/cloud.py: CPU time and units of the tables for a gateway and minute.

Each simulated gateway sends a batch a minute. Without rules a gateway is watched in one minute of five; with a rule,
here on one series of each gateway, each minute, and the rows of its batches are decoded.

    python benchmarks/cloud_watch.py
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import cloud_batches as batches
from benchmarks.cloud_dynamodb import MemoryDynamoDB
from cloud_functions.adapters.dynamodb import DynamoTable
from cloud_functions.core import rules
from cloud_functions.core.alerting import AlertBook
from cloud_functions.core.gateway_watch import GatewayWatch
from cloud_functions.core.ingest import Ingest
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.profiles import MAX_DECODED, Profiles
from cloud_functions.core.storing import Storer
from cloud_functions.core.watch import LOADED, SLOTS, slot
from wire import codec

GATEWAYS, RULED, WARM_MINUTES, MINUTES = 100, MAX_DECODED + 6, 10, 5
"""Gateways without and with rules: of the latter more than a worker keeps profiles of, so that each is read again."""
SILENT_MS, _DAY_MS = 900_000, 86_400_000
RULE = {"name": "hot", "series": "line-00.temperature", "condition": {"type": "threshold", "above": 1_000}}


class _Null:
    """Acknowledger and dead-letter sink."""

    def send(self, gateway: str, payload: bytes) -> None:
        """Drop an acknowledgement."""

    def keep(self, body: str, attributes: object) -> None:
        """Refuse a dead letter: each batch must be stored."""
        raise RuntimeError("a batch was not stored")


def measure_watch() -> dict[str, float]:
    """Return CPU time, units and requests of the watch function for a gateway and minute, without and with a rule."""
    plain, ruled = _measure(GATEWAYS, ()), _measure(RULED, (rules.parse(RULE),))
    figures = {f"watch_{name}_per_gateway": value for name, value in plain.items()}
    figures |= {f"watch_ruled_{name}_per_gateway": value for name, value in ruled.items()}
    # CPU time of a pass over 10,000 gateways, which is due each minute.
    figures["watch_cpu_s_per_pass_10k_gateways"] = plain["cpu_ms"] * 10
    figures["watch_ruled_cpu_s_per_pass_10k_gateways"] = ruled["cpu_ms"] * 10
    return figures


def _measure(gateways: int, rule: tuple[rules.Rule, ...]) -> dict[str, float]:
    dynamodb, clock = MemoryDynamoDB(), [batches.START_MS]
    telemetry, alerts = (DynamoTable(name, dynamodb.client()) for name in ("telemetry", "alerts"))

    def now_ms() -> int:
        return clock[0]

    storer = Storer(telemetry, now_ms, 7 * _DAY_MS)
    ingest = Ingest(telemetry, storer, _Null(), _Null(), now_ms, logging.getLogger("benchmark"))
    book = AlertBook(alerts, now_ms, 400 * _DAY_MS)
    # Its own cache of profiles: the watch function is another process than ingest.
    find = Profiles(telemetry, now_ms).find
    watch = GatewayWatch(telemetry, alerts, book, lambda: rule, find, now_ms, SILENT_MS, Metrics())
    names = [f"gateway-{at}" for at in range(gateways)]
    known = batches.known_profile()
    cpu_s = write_units = read_units = requests = 0.0
    for minute in range(WARM_MINUTES + MINUTES):
        clock[0] = batches.START_MS + (minute + 1) * 60_000
        if not minute:
            for name in names:
                ingest.accept(name, batches.body(codec.encode_profile(name, 1, 1, known), name, clock[0]))
        for name in names:
            ingest.accept(name, batches.body(batches.data(name, 1, minute + 2, minute), name, clock[0]))
        ingest.finish()
        due = [name for name in names if watch.is_prompt(name) or slot(name) == minute % SLOTS]
        dynamodb.clear()
        began = time.process_time() - dynamodb.own_cpu_s
        for at in range(0, len(due), LOADED):
            chunk = due[at : at + LOADED]
            loaded = watch.load(chunk)
            for name in chunk:
                watch.run(name, loaded)
        if minute >= WARM_MINUTES:
            cpu_s += time.process_time() - dynamodb.own_cpu_s - began
            write_units, read_units = write_units + dynamodb.write_units, read_units + dynamodb.read_units
            requests += sum(dynamodb.counts.values())
    runs = gateways * MINUTES
    return {
        "cpu_ms": cpu_s / runs * 1000,
        "write_units": write_units / runs,
        "read_units": read_units / runs,
        "requests": requests / runs,
    }


if __name__ == "__main__":
    print(json.dumps(measure_watch(), indent=2))
