"""Comparison of the stored data with the aggregator's rows, the sensors' ledger and the injected faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloud_functions.core.alert import State
from cloud_functions.core.batches import StoredBatch
from device_sim.aws.cost import cost
from device_sim.aws.store import CloudStore
from device_sim.demo.configuration import AGGREGATOR, SENSOR_READER, WINDOW_MS
from device_sim.demo.matching import Alarm, match
from device_sim.demo.proof import CountProof, RowProof, compare_counts, compare_rows
from device_sim.demo.served_proof import compare_served
from device_sim.demo.summary import DeviceResult, Summary
from device_sim.demo.tap import Tap
from device_sim.simulation.devices import Sensors
from wire.model import Aggregates

DROP_PREFIXES = ("rejected_", "dropped_readings")
"""Name prefixes of the counters of sensor reader and aggregator for readings that are in no aggregate."""

REPEATED = "rejected_duplicate"
"""Counter of readings that came again; the first of them is in an aggregate."""

BAD_QUALITY = "Aggregator.rejected_bad_quality"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of both proofs at one time; ``counts`` includes those of ``devices``."""

    rows: RowProof
    counts: CountProof
    devices: tuple[DeviceResult, ...]
    stored: Aggregates

    @property
    def holds(self) -> bool:
        """True if both proofs hold and are not empty."""
        return self.rows.holds and self.counts.holds and self.rows.stored > 0


class Judge:
    """Comparison for one gateway."""

    def __init__(self, store: CloudStore, gateway: str, tap: Tap, sensors: Sensors) -> None:
        self._store, self._gateway, self._tap, self._sensors = store, gateway, tap, sensors

    def drops(self) -> dict[str, int]:
        """Return the readings that sensor reader and aggregator counted as dropped, by component and reason.

        Readings that a device served with quality bad are not among them: each is counted in its window.
        """
        drops = drops_of(self._tap.counters())
        served_bad = sum(int(one.bad.sum()) for device in self._sensors.devices for one in device.log.readings())
        for name in [name for name in drops if name.endswith(BAD_QUALITY)]:
            drops[name] = max(0, drops[name] - served_bad)
        return drops

    def compare(self) -> Verdict:
        """Compare the current state."""
        made = self._tap.aggregates()
        stored = self._store.aggregates(self._gateway)
        resolutions = {series.name: series.resolution or 0.0 for series in self._sensors.plant.series}
        rows = compare_rows(made, stored, resolutions)
        devices = tuple(
            DeviceResult(device.machine, device.protocol, compare_served(device.log.readings(), stored))
            for device in self._sensors.devices
        )
        counts = compare_counts(self._sensors.ledger.counts(), stored, sum(self.drops().values()))
        for device in devices:
            counts += device.counts
        return Verdict(rows, counts, devices, stored)

    def alarms(self) -> tuple[Alarm, ...]:
        """Return the alerts of the gateway, by onset."""
        return tuple(
            Alarm(
                series=alert["series"],
                start_ms=alert["onset_ms"],
                end_ms=alert["ended_ms"],
                opened_ms=alert["opened_ms"],
                cause=alert["cause"],
                score=alert["score"],
            )
            for alert in self._store.alerts(self._gateway)
            if alert["state"] != State.PENDING
        )

    def receipts(self) -> list[StoredBatch]:
        """Return the receipts of the batches with aggregates."""
        return [receipt for receipt in self._store.batches(self._gateway) if receipt.holds == "aggregates"]

    def acknowledgements(self) -> int:
        """Return the number of acknowledgements that the cloud has sent to the gateway."""
        return int(self._store.about(self._gateway).get("acknowledgements", 0))

    def summary(self, seed: int, duration_s: float, usage: Mapping[str, float]) -> Summary:
        """Return the summary; all numbers outside the proofs come from the store."""
        verdict = self.compare()
        everything, bulk = self._store.batches(self._gateway), self.receipts()
        readings = int(verdict.stored.count.sum())
        charged: dict[str, Any] = {"items": {}, "usd_per_million_readings": None}
        if usage:
            charged = cost({**usage, "readings": readings})
        return Summary(
            seed=seed,
            duration_s=duration_s,
            readings=readings,
            aggregates=len(verdict.stored),
            batches=len(bulk),
            size=sum(receipt.size for receipt in bulk),
            wire_batches=len(everything),
            wire_size=sum(receipt.size for receipt in everything),
            rows=verdict.rows,
            counts=verdict.counts,
            devices=verdict.devices,
            matching=match(self._sensors.labels(), self.alarms(), self._sensors.end_ms, WINDOW_MS),
            drops=self.drops(),
            usd_per_million_readings=charged["usd_per_million_readings"],
            usage={**usage, **{f"usd {name}": usd for name, usd in charged["items"].items()}},
        )


def drops_of(counters: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Return the counters of dropped readings that are not 0, as ``<component>.<reason>``."""
    return {
        f"{name}.{reason}": count
        for name, counts in counters.items()
        if name.rsplit(".", 1)[-1] in (SENSOR_READER.rsplit(".", 1)[-1], AGGREGATOR.rsplit(".", 1)[-1])
        for reason, count in counts.items()
        if count and reason.startswith(DROP_PREFIXES) and reason != REPEATED
    }
