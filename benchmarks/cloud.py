"""Cost and speed of the cloud functions: rows per CPU-second, write units a batch, dollars a month.

The functions run in this process over an in-memory DynamoDB behind a real boto3 client (benchmarks/cloud_dynamodb.py):
requests are serialized, signed and parsed, but no socket is opened. CPU seconds are those of this machine's processor;
Lambda gives a function of 512 MB 0.29 of one, so a CPU-second there lasts about 3.4 seconds.

    python benchmarks/cloud.py [--json] [--batches N]
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import cloud_batches as batches
from benchmarks.cloud_dynamodb import MemoryDynamoDB
from cloud_functions.adapters.dynamodb import DynamoTable
from cloud_functions.core.ingest import Ingest
from cloud_functions.core.storing import Storer
from wire import codec

INVOCATION = 20
"""Messages an invocation, as the bulk queue's mapping delivers them."""
RAW_MS = 7 * 86_400_000


class _Null:
    """Acknowledger and dead-letter sink; counts."""

    def __init__(self) -> None:
        self.sent = self.kept = 0

    def send(self, gateway: str, payload: bytes) -> None:
        self.sent += 1

    def keep(self, body: str, attributes: Any) -> None:
        self.kept += 1


def measure_ingest(wanted: int) -> dict[str, float]:
    """Ingest ``wanted`` batches of as many gateways, 20 an invocation; each gateway's profile is stored before."""
    dynamodb = MemoryDynamoDB()
    table, null = DynamoTable("telemetry", dynamodb.client()), _Null()
    now_ms = batches.START_MS + 120_000
    storer = Storer(table, lambda: now_ms, RAW_MS)
    gateways = [f"gateway-{at:05d}" for at in range(INVOCATION)]

    def invoke(bodies: list[str]) -> None:
        log = logging.getLogger("benchmark")
        ingest = Ingest(table, storer, null, null, lambda: now_ms, log)
        for at, body in enumerate(bodies):
            ingest.accept(str(at), body)
        if ingest.finish():
            raise RuntimeError("a batch was not stored")

    known = batches.known_profile()
    invoke([batches.body(codec.encode_profile(g, 1, 1, known), g, now_ms) for g in gateways])
    invocations = max(1, wanted // INVOCATION)
    made = [
        [batches.body(batches.data(g, 1, n + 2, n % 4), g, now_ms) for g in gateways] for n in range(invocations + 1)
    ]
    invoke(made[0])  # warms caches
    dynamodb.own_cpu_s = dynamodb.write_units = dynamodb.read_units = 0.0
    began = time.process_time()
    for bodies in made[1:]:
        invoke(bodies)
    cpu_s = time.process_time() - began - dynamodb.own_cpu_s
    if null.kept or null.sent != INVOCATION * (invocations + 2):
        raise RuntimeError(f"{null.kept} dead letters, {null.sent} acknowledgements")
    stored = INVOCATION * invocations
    return {
        "ingest_rows_per_cpu_s": stored * 600 / cpu_s,
        "ingest_cpu_ms_per_batch": cpu_s / stored * 1000,
        "write_units_per_batch": dynamodb.write_units / stored,
        "read_units_per_batch": dynamodb.read_units / stored,
        "batch_bytes": float(len(batches.data(gateways[0], 1, 2, 0))),
    }


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--batches", type=int, default=400, help="batches to ingest")
    options = parser.parse_args()
    figures = measure_ingest(options.batches)
    if options.json:
        print(json.dumps(figures))
        return
    for name, figure in figures.items():
        print(f"{name:28} {figure:14,.3f}")


if __name__ == "__main__":
    main()
