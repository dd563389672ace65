"""Options of ``strandline up``, and the settings of the components that differ from the defaults. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_sim.demo.configuration import AGGREGATOR, DETECTOR, FORWARDER, SENSOR_READER

BATCH_AGE_S = 5.0
"""Longest time that rows wait for a batch: the local cloud costs nothing, and the page shows them soon."""
NOTICE_S = 10.0
HOST_ENTRY = {"name": "host", "kind": "host"}


@dataclass(frozen=True, slots=True)
class UpOptions:
    """Options of the command line; ``connection`` has the keys of the broker's entry without its topics."""

    connection: Mapping[str, Any]
    password: str | None
    topics: str
    learn_s: float
    learn_again: bool
    duration_s: float | None
    window_s: float
    folder: Path
    gateway: str
    page_port: int | None
    host: bool
    open_page: bool = False


def merged_configuration(
    sources: Sequence[Mapping[str, Any]], window_s: float, *, host: bool
) -> dict[str, dict[str, Any]]:
    """Return the updates of the components' configurations, by component."""
    entries = [dict(source) for source in sources]
    if host and not any(entry.get("kind") == "host" for entry in entries):
        entries.append(dict(HOST_ENTRY))
    return {
        SENSOR_READER: {"sources": entries},
        AGGREGATOR: {"window_ms": round(window_s * 1000)},
        DETECTOR: {},
        FORWARDER: {"batch_max_age_s": BATCH_AGE_S, "retry_first_s": 3.0, "notice_interval_s": NOTICE_S},
    }
