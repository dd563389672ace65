"""Content of an encoded batch as JSON-ready values: its header and its rows."""

from __future__ import annotations

from typing import Any

from wire import codec
from wire.model import AGGREGATE_COLUMNS, Aggregates, Anomalies, Batch, Readings


def header(batch: Batch, size: int) -> dict[str, Any]:
    """Return gateway, epoch, sequence number and size of a decoded batch of ``size`` bytes."""
    return {
        "kind": type(batch.rows).__name__.lower(),
        "gateway": batch.gateway,
        "epoch": f"{batch.epoch:016x}",
        "sequence": batch.sequence,
        "count": len(batch.rows),
        "bytes": size,
        "bytes_per_row": round(size / max(1, len(batch.rows)), 2),
    }


def undecoded_header(data: bytes) -> dict[str, Any]:
    """Return gateway, epoch, sequence number and size of a batch without decoding its rows."""
    gateway, epoch, sequence = codec.name_of(data)
    return {
        "kind": codec.kind_of(data).name.lower(),
        "gateway": gateway,
        "epoch": f"{epoch:016x}",
        "sequence": sequence,
        "bytes": len(data),
    }


def profile_header(data: bytes, profile: codec.Profile) -> dict[str, Any]:
    """Return gateway, version and size of a profile."""
    size = {"count": len(profile.series), "bytes_per_series": round(len(data) / max(1, len(profile.series)), 2)}
    return undecoded_header(data) | {"version": profile.version} | size


def profile_rows(profile: codec.Profile) -> list[dict[str, Any]]:
    """Return the series of a profile, each with its step, and level and spread per column."""
    rows = []
    for at, (series, step) in enumerate(zip(profile.series, profile.steps, strict=True)):
        row: dict[str, Any] = {"series": series.name, "unit": series.unit, "step": step.size}
        for column, states in profile.states.items():
            name = column.name.lower()
            row |= {name: states[at].level / 256, f"{name}_spread": states[at].spread / 256}
        rows.append(row)
    return rows


def batch_rows(batch: Batch) -> list[dict[str, Any]]:
    """Return the rows of a batch."""
    rows = batch.rows
    if isinstance(rows, Anomalies):
        return [report.to_dict() for report in rows.reports]
    if not isinstance(rows, Aggregates | Readings):
        return [{"time_ms": rows.time_ms, "component": c, **counters} for c, counters in rows.counters.items()]
    names = AGGREGATE_COLUMNS if isinstance(rows, Aggregates) else ("series_index", "time_ms", "value", "quality")
    columns = {name: getattr(rows, name).tolist() for name in names if name != "series_index"}
    series = [rows.series[index] for index in rows.series_index.tolist()]
    return [
        {"series": s.name, "unit": s.unit} | {name: _finite(column[at]) for name, column in columns.items()}
        for at, s in enumerate(series)
    ]


def _finite(value: float) -> float | None:
    """Return the value, or None for NaN and infinity, which JSON cannot represent."""
    return value if value - value == 0 else None
