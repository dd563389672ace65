"""Cost of the watch function for benchmarks/cloud.py: CPU time and units of the table for a run over a gateway.

Each simulated gateway sends a batch a minute; the watch function runs each minute and reads the rows every five.
"""

from __future__ import annotations

import logging
import time
from statistics import median

from benchmarks import cloud_batches as batches
from benchmarks.cloud_dynamodb import MemoryDynamoDB
from cloud_functions.adapters.dynamodb import DynamoTable
from cloud_functions.core.alerting import AlertBook
from cloud_functions.core.gateway_watch import ROWS_MS, GatewayWatch
from cloud_functions.core.ingest import Ingest
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.storing import Storer
from wire import codec

GATEWAYS, WARM_MINUTES, MINUTES = 3, 10, 30
ROWS_MINUTES = ROWS_MS // 60_000
_DAY_MS = 86_400_000


class _Null:
    """Acknowledger and dead-letter sink."""

    def send(self, gateway: str, payload: bytes) -> None:
        """Drop an acknowledgement."""

    def keep(self, body: str, attributes: object) -> None:
        """Refuse a dead letter: each batch must be stored."""
        raise RuntimeError("a batch was not stored")


def measure_watch() -> dict[str, float]:
    """Return CPU time, write units, read units and requests of the watch function for a gateway and run.

    The CPU time is that of a run that reads no rows; a batch whose rows are read adds its own.
    """
    dynamodb, clock = MemoryDynamoDB(), [batches.START_MS]
    telemetry, alerts = (DynamoTable(name, dynamodb.client()) for name in ("telemetry", "alerts"))

    def now_ms() -> int:
        return clock[0]

    storer = Storer(telemetry, now_ms, 7 * _DAY_MS)
    ingest = Ingest(telemetry, storer, _Null(), _Null(), now_ms, logging.getLogger("benchmark"))
    book = AlertBook(alerts, now_ms, 400 * _DAY_MS)
    find = storer.profiles.find
    watch = GatewayWatch(telemetry, alerts, book, list, find, now_ms, 900_000, Metrics())
    names = [f"gateway-{at}" for at in range(GATEWAYS)]
    known = batches.known_profile()
    write_units = read_units = requests = 0.0
    with_rows_s: list[float] = []
    without_rows_s: list[float] = []
    for minute in range(WARM_MINUTES + MINUTES):
        clock[0] = batches.START_MS + (minute + 1) * 60_000
        if not minute:
            for name in names:
                ingest.accept(name, batches.body(codec.encode_profile(name, 1, 1, known), name, clock[0]))
        for name in names:
            ingest.accept(name, batches.body(batches.data(name, 1, minute + 2, minute), name, clock[0]))
        ingest.finish()
        dynamodb.clear()
        began = time.process_time() - dynamodb.own_cpu_s
        for name in names:
            watch.run(name)
        cpu_s = (time.process_time() - dynamodb.own_cpu_s - began) / GATEWAYS
        if minute >= WARM_MINUTES:
            (without_rows_s if minute % ROWS_MINUTES else with_rows_s).append(cpu_s)
            write_units, read_units = write_units + dynamodb.write_units, read_units + dynamodb.read_units
            requests += sum(dynamodb.counts.values())
    runs, run_s = GATEWAYS * MINUTES, median(without_rows_s)
    return {
        "watch_cpu_ms_per_gateway": run_s * 1000,
        "watch_cpu_ms_per_batch": (median(with_rows_s) - run_s) / ROWS_MINUTES * 1000,
        "watch_write_units_per_gateway": write_units / runs,
        "watch_read_units_per_gateway": read_units / runs,
        "watch_requests_per_gateway": requests / runs,
    }
