"""The table of benchmarks/edge.py. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

ROWS = (
    ("disk_mb_per_day_inflight20", "disk, 24 series at 1/s, in-flight 20", "MB/day", "<= 1,000"),
    ("disk_mb_per_day_inflight200", "disk, 24 series at 1/s, in-flight 200", "MB/day", "<= 300"),
    ("disk_bytes_per_reading_2000", "disk at 2,000 readings/s", "B/reading", "<= 5"),
    ("readings_s_inflight20", "through a stock mosquitto (in-flight 20)", "readings/s", ">= 1,500"),
    ("readings_s_inflight20_mosquitto", "the same, window as the installed one keeps it", "readings/s", ""),
    ("readings_s_sustained", "sustained without loss", "readings/s", ">= 15,000"),
    ("cpu_s_per_million_1", "CPU at the sustained rate", "s/million", "<= 40"),
    ("cpu_s_per_million_1_at_2000", "CPU at 2,000 readings/s", "s/million", "<= 40"),
    ("cpu_s_per_million_10", "CPU with 10 readings a message", "s/million", "<= 8"),
    ("readings_s_10", "its rate", "readings/s", ""),
    ("cpu_s_per_million_8_fields", "CPU with 8 fields of JSON a message", "s/million", ""),
    ("readings_s_8_fields", "its rate", "readings/s", ""),
    ("cpu_s_per_million_sparkplug", "CPU with 8 metrics of Sparkplug a message", "s/million", ""),
    ("readings_s_sparkplug", "its rate", "readings/s", ""),
    ("idle_cpu_percent", "idle CPU, 24 series at 1/s", "% of a core", "<= 1"),
    ("idle_cpu_percent_inflight20", "the same, in-flight 20", "% of a core", ""),
    ("pss_mb", "memory (PSS), 60 series at 300 readings/s", "MB", "<= 140"),
    ("pss_mb_change", "its change over the run", "MB", "flat"),
    ("series_cpu_ratio", "CPU, 10 to 10,000 series at equal rate", "times", "<= 1.5"),
    ("window_to_row_s", "end of a window to its stored row, median", "s", ""),
    ("reading_to_row_s", "reading to stored row", "s", ""),
)
PARTS = (
    ("disk_mb_per_day_inflight20_by_component", "disk, in-flight 20", "MB/day"),
    ("disk_mb_per_day_inflight200_by_component", "disk, in-flight 200", "MB/day"),
    ("disk_bytes_per_reading_2000_by_component", "disk at 2,000 readings/s", "B/reading"),
    ("cpu_s_per_million_1_at_2000_by_component", "CPU at 2,000 readings/s", "s/million"),
    ("cpu_s_per_million_1_by_component", "CPU at the sustained rate", "s/million"),
    ("cpu_s_per_million_10_by_component", "CPU with 10 readings a message", "s/million"),
    ("cpu_s_per_million_8_fields_by_component", "CPU with 8 fields of JSON a message", "s/million"),
    ("cpu_s_per_million_sparkplug_by_component", "CPU with 8 metrics of Sparkplug a message", "s/million"),
    ("sustained_cores_by_process", "cores in use at the sustained rate", "cores"),
    ("idle_cpu_percent_by_component", "idle CPU", "%"),
    ("pss_mb_by_component", "PSS", "MB"),
    ("cpu_s_per_million_by_series", "CPU by number of series", "s/million"),
)
PEER_COLUMNS = ("readings_s", "cpu_s_per_million", "disk_bytes_per_reading", "pss_mb", "missing")
PEER_WIDTHS = (12, 14, 10, 8, 8)


def table(figures: Mapping[str, Any]) -> str:
    """Return what was measured as text: machine, figures with their goals, shares, losses, peers."""
    return "\n".join(_lines(figures))


def _lines(figures: Mapping[str, Any]) -> Iterator[str]:
    yield ", ".join(f"{name} {value}" for name, value in figures.get("machine", {}).items())
    yield ""
    yield f"{'figure':<46} {'value':>12} {'unit':<12} goal"
    for key, title, unit, goal in ROWS:
        if key in figures:
            yield f"{title:<46} {number(figures[key]):>12} {unit:<12} {goal}"
    yield ""
    for key, title, unit in PARTS:
        if key in figures:
            parts = ", ".join(f"{name} {number(value)}" for name, value in figures[key].items())
            yield f"{title} ({unit}): {parts}"
    for key in sorted(key for key in figures if key.endswith("_not_stored")):
        name = key.removesuffix("_not_stored")
        sent, lost = figures[f"{name}_sent"], figures[f"{name}_lost"]
        yield f"{name}: {sent:,} readings sent, {lost:,} in no aggregate, {figures[key]:,} not stored in time"
    for series, reason in figures.get("series_failed", {}).items():
        yield f"{series} series: {reason}"
    if "peers" in figures:
        yield from _peers(figures["peers"])


def _peers(peers: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield ""
    titles = ("readings/s", "CPU s/million", "B/reading", "PSS MB", "missing")
    yield f"{'peer':<22} {_cells(titles)}  settings"
    for name, peer in peers.items():
        if "absent" in peer:
            yield f"{name:<22} not measured: {peer['absent']}"
            continue
        yield f"{name:<22} {_cells(number(peer.get(column)) for column in PEER_COLUMNS)}  {peer['settings']}"


def _cells(values: Iterable[str]) -> str:
    return " ".join(f"{value:>{width}}" for value, width in zip(values, PEER_WIDTHS, strict=True))


def number(value: Any) -> str:
    """Return a figure with separators, or a dash for one that could not be measured."""
    if value is None:
        return "-"
    if isinstance(value, int) or abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.4g}"
