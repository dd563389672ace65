"""Queries about gateways: figures, silence, gaps in their sequences, and losses that they reported."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cloud_functions.core import keys
from cloud_functions.core.errors import NotFoundError, RequestError
from cloud_functions.core.ports import Item, Table
from cloud_functions.core.received_sequences import received_of, totals_of
from wire.errors import ModelError
from wire.model import check_gateway

SILENT_AFTER_MS = 900_000
"""Three times the default interval of a forwarder's notices (five minutes)."""
MAX_LISTED_GAPS = 1_000

SPOOL = "Spool"
"""The part of a notice with the losses of the gateway's spool; merged rows are coarser, not lost."""
MERGED = "rows_merged"
_REJECTED = "rejected_"
_LOST = (
    *("rejected_", "invalid_", "late", "readings_dropped", "mqtt_overflow", "anomaly_batches_dropped"),
    *("journal_lost", "rows_too_large"),
)


@dataclass(frozen=True, slots=True)
class Silence:
    """A gateway is silent when nothing of it came in for longer than ``after_ms`` before ``now_ms``."""

    now_ms: int
    after_ms: int = SILENT_AFTER_MS

    def of(self, about: Item | None) -> bool:
        """Return whether the gateway with these figures is silent; a gateway without figures is."""
        return about is None or self.now_ms - int(about.get("last_seen_ms", 0)) > self.after_ms


def gateways(telemetry: Table, silence: Silence) -> list[dict[str, Any]]:
    """Return every gateway with its figures; one query a gateway reads the totals of its epochs."""
    names = [str(item["sk"]) for item in telemetry.query(keys.GATEWAYS)]
    found = telemetry.get_many(keys.about(name) for name in names)
    return [_figures(name, found.get(keys.about(name)), _epochs_of(telemetry, name), silence) for name in names]


def _epochs_of(telemetry: Table, name: str) -> list[Item]:
    first, last = keys.acknowledgement(name, 0), keys.acknowledgement(name, 2**64 - 1)
    return list(telemetry.query(first.pk, first.sk, last.sk))


def gateway(telemetry: Table, name: str, silence: Silence) -> dict[str, Any]:
    """Return a gateway's figures, its last notice, its losses, and the received and missing sequences of each epoch.

    Epochs are in the order of their first batch. Raises NotFoundError for an unknown gateway.
    """
    check_name(name)
    items = list(telemetry.query(keys.about(name).pk, "", "series"))
    parts = {str(item["sk"]): item for item in items}
    if keys.ABOUT not in parts:
        raise NotFoundError([f"gateway {name} is not known"])
    counters = json.loads(str(parts[keys.NOTICE]["counters"])) if keys.NOTICE in parts else {}
    kept = [item for item in items if item["kind"] == "ack"]
    epochs = [_epoch(item) for item in kept]
    return _figures(name, parts[keys.ABOUT], kept, silence) | {
        "notice": {"time_ms": parts[keys.NOTICE]["time_ms"], "counters": counters} if counters else None,
        "lost": losses(counters),
        "merged": counters.get(SPOOL, {}).get(MERGED, 0),
        "epochs": sorted(epochs, key=lambda epoch: (epoch["first_ms"], epoch["epoch"])),
    }


def losses(counters: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Return the counters of a notice that count lost or rejected data, as ``component.counter``."""
    return {
        f"{component}.{name}": number
        for component, counts in sorted(counters.items())
        for name, number in sorted(counts.items())
        if number and (name != MERGED if component == SPOOL else name.startswith(_LOST))
    }


def mark(telemetry: Table, alerts: Iterable[dict[str, Any]], silence: Silence) -> list[dict[str, Any]]:
    """Return alerts with the time at which their gateway was last seen and whether it is silent.

    An open alert of a silent gateway is out of date: the gateway cannot report its end.
    """
    listed = list(alerts)
    found = telemetry.get_many({keys.about(alert["gateway"]) for alert in listed})
    return [
        alert
        | {
            "gateway_last_seen_ms": (about := found.get(keys.about(alert["gateway"]))) and about.get("last_seen_ms"),
            "gateway_silent": silence.of(about),
        }
        for alert in listed
    ]


def check_name(name: str) -> str:
    """Return a gateway's name; raises RequestError for one that cannot be."""
    try:
        return check_gateway(name)
    except ModelError as error:
        raise RequestError([str(error)]) from error


def _figures(name: str, about: Item | None, epochs: Iterable[Item], silence: Silence) -> dict[str, Any]:
    """Return a gateway's figures: batches, rows and bytes are exactly those stored, plus those counted over HTTP."""
    figures = dict(about or {})
    for epoch in epochs:
        figures |= {total: int(figures.get(total, 0)) + number for total, number in totals_of(epoch).items()}
    wanted = ("batches", "rows", "bytes", "duplicates", "acknowledgements", "first_seen_ms", "last_seen_ms")
    rejected = {k[len(_REJECTED) :]: v for k, v in sorted(figures.items()) if k.startswith(_REJECTED)}
    return {
        "gateway": name,
        **{k: figures.get(k, 0) for k in wanted},
        "rejected": rejected,
        "silent": silence.of(about),
    }


def _epoch(item: Item) -> dict[str, Any]:
    held = received_of(item)
    return {
        "epoch": str(item["sk"])[4:],
        "batches": totals_of(item)["batches"],
        "rows": totals_of(item)["rows"],
        "cumulative": held.cumulative,
        "highest": held.highest,
        "missing": [list(gap) for gap in itertools.islice(held.missing(), MAX_LISTED_GAPS)],
        "missing_count": sum(last - first + 1 for first, last in held.missing()),
        "gap_since_ms": item.get("gap_since_ms"),
        "first_ms": item.get("first_ms", 0),
        "changed_ms": item.get("changed_ms", 0),
    }
