"""Latency from the sensor to a stored row, measured by polling the cloud every second."""

from __future__ import annotations

import statistics
import time
from collections.abc import Collection
from typing import Any

from benchmarks.edge_site import Gateway

POLL_SECONDS = 1.0


def latency(gateway: Gateway, series: Collection[str], seconds: float) -> dict[str, Any]:
    """Return seconds from the end of a window to its stored row: median and longest of the rows seen to come.

    A reading waits for the end of its window too, half a window on average: ``reading_to_row_s`` has it added.
    """
    names = set(series)
    known = set(_rows(gateway, names))
    waits: list[float] = []
    width_s = 0.0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for row in _rows(gateway, names):
            if row not in known:
                known.add(row)
                _name, start_ms, width_ms = row
                waits.append(time.time() - (start_ms + width_ms) / 1000)
                width_s = width_ms / 1000
        time.sleep(POLL_SECONDS)
    if not waits:
        return {"window_to_row_s": None, "reading_to_row_s": None}
    return {
        "window_to_row_s": statistics.median(waits),
        "window_to_row_s_longest": max(waits),
        "reading_to_row_s": statistics.median(waits) + width_s / 2,
    }


def _rows(gateway: Gateway, names: set[str]) -> list[tuple[str, int, int]]:
    rows = gateway.store.aggregates(gateway.name)
    series = [one.name for one in rows.series]
    triples = zip(rows.series_index.tolist(), rows.start_ms.tolist(), rows.width_ms.tolist(), strict=True)
    return [(series[at], start, width) for at, start, width in triples if series[at] in names]
