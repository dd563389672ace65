"""Result of a demo run as numbers, one JSON object, and tables. The numbers are those of the cloud's store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from device_sim.demo.matching import FaultResult, Matching
from device_sim.demo.proof import CountProof, RowProof


@dataclass(frozen=True, slots=True)
class DeviceResult:
    """Comparison of the readings that the device of a machine served with those in the cloud."""

    machine: str
    protocol: str
    counts: CountProof


@dataclass(frozen=True, slots=True)
class Summary:
    """Contents of the final summary.

    ``counts`` includes those of ``devices``. ``readings`` is the sum of the counts in the cloud's rows, ``batches`` and
    ``size`` (bytes) are of the distinct batches that brought them, ``wire_batches`` and ``wire_size`` of all received
    ones, including anomalies and notices.
    """

    seed: int
    duration_s: float
    readings: int
    aggregates: int
    batches: int
    size: int
    wire_batches: int
    wire_size: int
    rows: RowProof
    counts: CountProof
    matching: Matching
    devices: tuple[DeviceResult, ...] = ()
    drops: Mapping[str, int] = field(default_factory=dict)
    usd_per_million_readings: float | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """True if nothing was lost or duplicated and the cloud's rows are those that were made."""
        return self.rows.holds and self.counts.holds and self.aggregates > 0

    @property
    def bytes_per_aggregate(self) -> float:
        """Bytes on the wire for each row of the bulk batches."""
        return self.size / max(1, self.aggregates)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object; the first ten keys are a contract."""
        delay = self.matching.mean_delay_s
        return {
            "readings": self.readings,
            "aggregates": self.aggregates,
            "batches": self.batches,
            "bytes": self.size,
            "lost": self.rows.lost + max(0, self.counts.missing),
            "duplicated": self.rows.duplicated + max(0, -self.counts.missing),
            "faults": len(self.matching.results),
            "detected": self.matching.detected,
            "false_alerts": len(self.matching.false),
            "detection_delay_s": None if delay is None else round(delay, 3),
            "holds": self.holds,
            "bytes_per_aggregate": round(self.bytes_per_aggregate, 3),
            "seed": self.seed,
            "duration_s": self.duration_s,
            "rows": {**asdict(self.rows), "holds": self.rows.holds},
            "counts": _counts(self.counts),
            "devices": {one.machine: {"protocol": one.protocol, **_counts(one.counts)} for one in self.devices},
            "drops": dict(self.drops),
            "wire_batches": self.wire_batches,
            "wire_bytes": self.wire_size,
            "fault_results": [_fault(result) for result in self.matching.results],
            "false_alert_list": [asdict(alarm) for alarm in self.matching.false],
            "usd_per_million_readings": self.usd_per_million_readings,
            "usage": dict(self.usage),
        }


def _counts(proof: CountProof) -> dict[str, Any]:
    return {**asdict(proof), "missing": proof.missing, "holds": proof.holds}


def _fault(result: FaultResult) -> dict[str, Any]:
    alarm = None if result.alarm is None else asdict(result.alarm)
    return {**asdict(result.fault), "alert": alarm, "delay_s": result.delay_s}


def show(summary: Summary, console: Console) -> None:
    """Print the summary."""
    console.print(_faults(summary.matching))
    console.print(_numbers(summary))
    for example in (*summary.rows.examples, *summary.counts.examples):
        console.print(f"  {example}", highlight=False)
    verdict = "proven: no data lost or duplicated" if summary.holds else "NOT PROVEN: see the table above"
    console.print(f"[bold {'green' if summary.holds else 'red'}]{verdict}[/]")


def _faults(matching: Matching) -> Table:
    table = Table(title="Faults injected", title_justify="left", box=None)
    for name in ("series", "fault", "duration", "alert on", "cause", "score", "delay"):
        table.add_column(name, justify="right" if name in ("duration", "score", "delay") else "left", no_wrap=True)
    for result in matching.results:
        fault, alarm = result.fault, result.alarm
        row = [fault.series, str(fault.kind), f"{(fault.end_ms - fault.start_ms) / 1000:.1f} s"]
        if alarm is not None:
            where = "same series" if alarm.series == fault.series else alarm.series.split(".", 1)[-1]
            row += [where, alarm.cause, f"{alarm.score:.1f}", f"{result.delay_s:.1f} s"]
        table.add_row(*row)
    for alarm in matching.false:
        table.add_row(alarm.series, "none", "", "[yellow]false alert[/]", alarm.cause, f"{alarm.score:.1f}", "")
    return table


def _numbers(summary: Summary) -> Table:
    matching, rows, counts = summary.matching, summary.rows, summary.counts
    drops = ", ".join(f"{name} {n}" for name, n in summary.drops.items() if n)
    delay = f", {matching.mean_delay_s:.1f} s after the fault" if matching.mean_delay_s is not None else ""
    cost = summary.usd_per_million_readings
    table = Table(title="Data in the cloud", title_justify="left", box=None, show_header=False)
    table.add_column("name")
    table.add_column("value")
    for name, value in (
        ("readings", f"{summary.readings:,}"),
        ("aggregates", f"{summary.aggregates:,}"),
        ("batches", f"{summary.batches:,} with aggregates, {summary.wire_batches:,} in total"),
        ("bytes", f"{summary.size:,}, {summary.bytes_per_aggregate:.2f} per aggregate"),
        ("rows made / stored", f"{rows.made:,} / {rows.stored:,}"),
        ("rows lost, duplicated, changed", f"{rows.lost}, {rows.duplicated + rows.unexpected}, {rows.different}"),
        ("readings sent by the sensors", f"{counts.sent:,}"),
        ("readings stored, dropped, missing", f"{counts.stored:,}, {counts.dropped}, {counts.missing}"),
        *(
            (f"  {one.machine}, {one.protocol}", f"{one.counts.sent:,} served, {one.counts.stored:,} stored")
            for one in summary.devices
        ),
        ("drops", drops or "none"),
        ("faults detected", f"{matching.detected} of {len(matching.results)}{delay}"),
        ("false alerts", f"{len(matching.false)}"),
        (
            "AWS cost per million readings",
            "not measured" if cost is None else f"${cost:.4f} (at us-east-1 list prices)",
        ),
    ):
        table.add_row(name, value)
    return table
