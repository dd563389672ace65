"""The figures of the four components: each function runs one experiment and returns its values by JSON key.

Every experiment starts a gateway of its own, so that the queues of one do not affect another. Readings that were sent
and are not in the cloud's aggregates afterwards are reported, never ignored.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from benchmarks.edge_latency import latency
from benchmarks.edge_load_process import Load, LoadProcess
from benchmarks.edge_measure import Usage
from benchmarks.edge_site import AGGREGATOR, COMPONENTS, READER, Bench, Gateway

DAY_SECONDS = 86_400.0
HISTORY_WINDOWS = 66
"""More than the detector's calibration of 60 windows: scoring is then part of what is measured."""

SETTLE_SECONDS = 15.0
AGGREGATE_SECONDS = 120.0
"""More than the aggregator's ``silence_ms``: when all sensors are silent, windows stay open for so long."""

ONLY_THE_LOAD: dict[str, dict[str, Any]] = {READER: {"sources": []}}
"""Without the host's own series the aggregator's counters are those of the load."""

QUIET_BACKLOG = 50
AS_INSTALLED = None
"""In-flight window: mosquitto and the sensor reader with their defaults, which agree on one with MQTT 5."""

Figures = dict[str, Any]


FEW_SERIES = Load(series=24, rate=24.0, history=HISTORY_WINDOWS)


def idle(bench: Bench, scale: float) -> Figures:
    """24 series at 1 reading/s, mosquitto and sensor reader as installed: CPU of the four."""
    with _running(bench, "idle", AS_INSTALLED, FEW_SERIES) as (gateway, sender):
        # Whole minutes: the forwarder forms a batch each minute.
        used, seconds = _measure(gateway, sender, max(1, round(5 * scale)) * 60.0, settle=45.0)
        return {
            "idle_cpu_percent": 100 * _of_components(used).cpu_s / seconds,
            "idle_cpu_percent_by_component": _percent(used, seconds),
        }


def disk(bench: Bench, scale: float) -> Figures:
    """24 series at 1 reading/s, with in-flight windows of 20 and 200: disk a day, CPU, reading to stored row."""
    figures: Figures = {}
    for in_flight in (20, 200):
        with _running(bench, f"disk-{in_flight}", in_flight, FEW_SERIES, strict=True) as (gateway, sender):
            used, seconds = _measure(gateway, sender, 660.0 * scale)
            day = DAY_SECONDS / seconds / 1e6
            figures[f"disk_mb_per_day_inflight{in_flight}"] = _of_components(used).write_bytes * day
            figures[f"disk_mb_per_day_inflight{in_flight}_by_component"] = {
                name: used[name].write_bytes * day for name in COMPONENTS
            }
            if in_flight == 20:
                figures["idle_cpu_percent_inflight20"] = 100 * _of_components(used).cpu_s / seconds
                figures |= latency(gateway, FEW_SERIES.names, 180.0 * max(scale, 0.5))
            figures[f"disk_seconds_inflight{in_flight}"] = seconds
    return figures


def steady_2000(bench: Bench, scale: float) -> Figures:
    """200 series, 2,000 readings/s: bytes written and CPU seconds a reading, by component."""
    load = Load(series=200, rate=2_000.0, history=HISTORY_WINDOWS)
    with _running(bench, "steady-2000", AS_INSTALLED, load, ONLY_THE_LOAD) as (gateway, sender):
        before = sender.counts.consumed
        used, seconds = _measure(gateway, sender, 120.0 * scale)
        readings = sender.counts.consumed - before
        figures = _cpu("cpu_s_per_million_1_at_2000", used, readings)
        figures["cpu_at_2000_readings_s"] = readings / seconds
        figures["disk_bytes_per_reading_2000"] = _of_components(used).write_bytes / readings
        figures["disk_bytes_per_reading_2000_by_component"] = {
            name: used[name].write_bytes / readings for name in COMPONENTS
        }
        return figures | _loss("steady_2000", gateway, sender, bench.drain)


def stock_throughput(bench: Bench, scale: float) -> Figures:
    """200 series, in-flight window of 20, as fast as the reader acknowledges: readings/s.

    Once with the window kept (see edge_window), and once with the installed mosquitto as it is.
    """
    figures: Figures = {}
    load = Load(series=200, rate=0.0)
    for name, strict in (("inflight20", True), ("inflight20_mosquitto", False)):
        with _running(bench, name, 20, load, ONLY_THE_LOAD, strict=strict) as (gateway, sender):
            figures[f"readings_s_{name}"] = _closed_loop(gateway, sender, 60.0 * scale)["rate"]
            figures |= _loss(name, gateway, sender, bench.drain)
    return figures


def sustained(bench: Bench, scale: float) -> Figures:
    """200 series, mosquitto as installed, as fast as the reader acknowledges: readings/s without loss, and CPU."""
    load = Load(series=200, rate=0.0, history=HISTORY_WINDOWS, backlog=20_000)
    with _running(bench, "sustained", AS_INSTALLED, load, ONLY_THE_LOAD) as (gateway, sender):
        result = _closed_loop(gateway, sender, 60.0 * max(scale, 0.25))
        figures = _cpu("cpu_s_per_million_1", result["used"], result["readings"])
        figures["readings_s_sustained"] = result["rate"]
        figures["sustained_cores_by_process"] = {
            name: one.cpu_s / result["seconds"] for name, one in result["used"].items()
        }
        return figures | _loss("sustained", gateway, sender, bench.drain)


def several(bench: Bench, scale: float) -> Figures:
    """200 series in messages of several readings, as fast as the reader acknowledges: readings/s and CPU.

    10 readings of a series, 8 fields of JSON, and 8 metrics of Sparkplug.
    """
    figures: Figures = {}
    for shape, key in (("ten", "10"), ("fields", "8_fields"), ("sparkplug", "sparkplug")):
        load = Load(series=200, rate=0.0, history=HISTORY_WINDOWS, backlog=5_000, shape=shape)
        with _running(bench, shape, AS_INSTALLED, load, ONLY_THE_LOAD) as (gateway, sender):
            result = _closed_loop(gateway, sender, 60.0 * max(scale, 0.25))
            figures |= _cpu(f"cpu_s_per_million_{key}", result["used"], result["readings"])
            figures[f"readings_s_{key}"] = result["rate"]
            figures |= _loss(shape, gateway, sender, bench.drain)
    return figures


def memory(bench: Bench, scale: float) -> Figures:
    """60 series, 300 readings/s: proportional set size of the four, and its change over ten minutes."""
    load = Load(series=60, rate=300.0, history=HISTORY_WINDOWS)
    with _running(bench, "memory", AS_INSTALLED, load) as (gateway, sender):
        time.sleep(60.0 * max(scale, 0.25))
        first = gateway.pss()
        used, seconds = _measure(gateway, sender, 600.0 * scale, settle=0.0)
        last = gateway.pss()
        return {
            "pss_mb": sum(last.values()) / 1e6,
            "pss_mb_by_component": {name: size / 1e6 for name, size in last.items()},
            "pss_mb_change": (sum(last.values()) - sum(first.values())) / 1e6,
            "pss_seconds": seconds,
            "cpu_percent_300": 100 * _of_components(used).cpu_s / seconds,
        }


def series_counts(bench: Bench, scale: float) -> Figures:
    """10,000 readings/s over 10 to 10,000 series: CPU seconds of the four a million readings, and their ratio.

    With 10,000 series every one has a reading a second, and with 10 a thousand; windows are 10 seconds.
    """
    cpu: dict[str, float] = {}
    shares: dict[str, dict[str, float]] = {}
    failed: dict[str, str] = {}
    for series in (10, 100, 1_000, 10_000):
        limits = {} if series <= 4_000 else {READER: {"max_series": 16_384}, AGGREGATOR: {"max_series": 16_384}}
        load = Load(series=series, rate=10_000.0, history=HISTORY_WINDOWS if series <= 100 else 0)
        try:
            with _running(bench, f"series-{series}", AS_INSTALLED, load, limits) as (gateway, sender):
                before = sender.counts.consumed
                used, _seconds = _measure(gateway, sender, 60.0 * scale)
                readings = sender.counts.consumed - before
                figures = _cpu("cpu", used, readings)
                cpu[str(series)], shares[str(series)] = figures["cpu"], figures["cpu_by_component"]
        except Exception as error:  # noqa: BLE001 # a number of series that is refused leaves the others their figures
            failed[str(series)] = f"{type(error).__name__}: {error}"[:400]
    ratio = max(cpu.values()) / min(cpu.values()) if len(cpu) == 4 else None
    return {
        "cpu_s_per_million_by_series": cpu,
        "cpu_s_per_million_by_series_and_component": shares,
        "series_cpu_ratio": ratio,
        **({"series_failed": failed} if failed else {}),
    }


EXPERIMENTS = {
    "idle": idle,
    "disk": disk,
    "steady": steady_2000,
    "throughput": stock_throughput,
    "sustained": sustained,
    "several": several,
    "memory": memory,
    "series": series_counts,
}


@contextmanager
def _running(
    bench: Bench,
    name: str,
    in_flight: int | None,
    load: Load,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    strict: bool = False,
) -> Iterator[tuple[Gateway, LoadProcess]]:
    """Start a gateway and its load, and wait until past readings, if any, are consumed."""
    bench.log(f"{name}: {load.series} series, in-flight {in_flight or 'as installed'}")
    with Gateway(bench, name, in_flight, settings, strict, load.source) as gateway, gateway.start_load(load) as sender:
        past = load.past
        sender.wait(lambda now: now.sent >= past and now.consumed >= past - QUIET_BACKLOG, 600.0, "past readings")
        yield gateway, sender


def _measure(
    gateway: Gateway, sender: LoadProcess, seconds: float, settle: float = SETTLE_SECONDS
) -> tuple[dict[str, Usage], float]:
    """Let the load settle, then return what every process used in the seconds that follow, and their true number."""
    time.sleep(settle)
    before = gateway.sample(sender)
    _hold(sender, seconds)
    after = gateway.sample(sender)
    return after.since(before), after.at - before.at


def _hold(sender: LoadProcess, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        sender.check()
        time.sleep(min(1.0, left))


def _closed_loop(gateway: Gateway, sender: LoadProcess, seconds: float) -> Figures:
    """Return the rate at which readings are consumed while the broker always has some waiting."""
    time.sleep(SETTLE_SECONDS)
    first, before = sender.counts, gateway.sample(sender)
    _hold(sender, seconds)
    last, after = sender.counts, gateway.sample(sender)
    readings = (last.consumed - first.consumed) * sender.load.readings
    return {
        "rate": readings / (last.at - first.at),
        "readings": readings * (after.at - before.at) / (last.at - first.at),
        "seconds": after.at - before.at,
        "used": after.since(before),
    }


def _loss(name: str, gateway: Gateway, sender: LoadProcess, drain: float) -> Figures:
    """End the load, and return how many of its readings are in no aggregate, and in none that the cloud has stored."""
    counts = sender.finish()
    sent = counts.sent * sender.load.readings + sender.load.first_readings
    aggregated = gateway.wait_aggregated(sent, AGGREGATE_SECONDS)
    stored = gateway.wait_stored(sender.load.names, sent, drain)
    figures: Figures = {
        f"{name}_sent": sent,
        f"{name}_lost": sent - aggregated,
        f"{name}_not_stored": sent - stored,
    }
    if counts.dropped:
        figures[f"{name}_dropped_by_broker"] = counts.dropped
    if sent != stored:
        figures[f"{name}_counters"] = gateway.counters()
    return figures


def _of_components(used: Mapping[str, Usage]) -> Usage:
    return sum((used[name] for name in COMPONENTS), start=Usage())


def _percent(used: Mapping[str, Usage], seconds: float) -> dict[str, float]:
    return {name: 100 * used[name].cpu_s / seconds for name in (*COMPONENTS, "nucleus", "mosquitto")}


def _cpu(key: str, used: Mapping[str, Usage], readings: float) -> Figures:
    """Return CPU seconds a million readings: of the four, and of every process."""
    return {
        key: _of_components(used).cpu_s / readings * 1e6,
        f"{key}_by_component": {name: one.cpu_s / readings * 1e6 for name, one in used.items()},
    }
