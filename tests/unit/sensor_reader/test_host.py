"""The host is read at its interval, counters as rates, and a failing part does not affect others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil
import pytest

from edge_components.sensor_reader.errors import RejectedError
from edge_components.sensor_reader.sources.host import (
    Gauge,
    HostSettings,
    HostSource,
    PsutilProbe,
    Seen,
    Total,
    Unread,
)
from tests.fakes import FakeClock
from wire.model import Series


@dataclass
class ListSink:
    """Sink that records readings."""

    names: list[str] = field(default_factory=list)
    series: dict[str, Series] = field(default_factory=dict)
    readings: list[tuple[str, int, float]] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    full: bool = False

    def series_id(
        self, name: str, address: str, unit: str = "", resolution: float | None = None, *, wait: bool = False
    ) -> int:
        if self.full:
            raise RejectedError("rejected_series_limit", "full")
        self.series[name] = Series(name, unit, resolution)
        self.names.append(name)
        return len(self.names) - 1

    def extend(
        self,
        series_ids: Sequence[int],
        times_ms: Sequence[int],
        values: Sequence[float],
        qualities: Sequence[int],
        arrived: float,
    ) -> None:
        names = [self.names[series_id] for series_id in series_ids]
        self.readings += zip(names, times_ms, values, strict=True)

    def reject(self, reason: str, text: str, count: int = 1, *, key: str = "") -> None:
        self.rejected.append((reason, text))

    def when_stored(self, acknowledge: object) -> None:
        raise AssertionError("the machine waits for no acknowledgement")


class FakeProbe:
    def __init__(self) -> None:
        self.seen: list[Seen] = []

    def read(self) -> list[Seen]:
        return list(self.seen)


def host(interval_ms: int = 1_000) -> tuple[HostSource, FakeProbe, FakeClock, ListSink]:
    probe, clock = FakeProbe(), FakeClock()
    return HostSource(HostSettings("host", interval_ms, "/"), clock, probe), probe, clock, ListSink()


def test_it_reads_at_its_interval_and_skips_missed_ones() -> None:
    source, probe, clock, sink = host()
    probe.seen = [Gauge("cpu", 5.0, "%", 0.1)]
    source.start()
    source.poll(sink)
    assert sink.readings == []
    times = []
    for step in (0.9, 0.1, 0.5, 0.5, 7.2, 0.1, 0.9):
        clock.advance(step)
        source.poll(sink)
        times.append(len(sink.readings))
    assert times == [0, 1, 1, 2, 3, 3, 4]
    assert sink.readings[-1] == ("host.cpu", clock.wall_ms(), 5.0)
    assert sink.series["host.cpu"] == Series("host.cpu", "%", 0.1)


def test_counts_are_read_as_rates_and_one_that_was_reset_makes_none() -> None:
    source, probe, clock, sink = host()

    def read(total: int) -> list[float]:
        probe.seen = [Total("network.sent", total, "B/s", 1.0)]
        clock.advance(2.0)
        before = len(sink.readings)
        source.poll(sink)
        return [value for _, _, value in sink.readings[before:]]

    probe.seen = [Total("network.sent", 1_000, "B/s", 1.0)]
    source.start()
    assert read(2_000) == [500.0]
    assert read(2_000) == [0.0]
    assert read(10) == []
    assert read(110) == [50.0]


def test_nothing_is_read_for_a_limited_time_while_the_clock_is_not_set() -> None:
    source, probe, clock, sink = host()
    clock.wall = 60_000
    probe.seen = [Gauge("cpu", 1.0, "%", 0.1)]
    source.start()
    clock.advance(1.0)
    source.poll(sink)
    assert (sink.readings, [reason for reason, _ in sink.rejected]) == ([], ["rejected_clock_unset"])
    clock.advance(300.0)
    source.poll(sink)
    assert [name for name, _, _ in sink.readings] == ["host.cpu"]


def test_a_part_that_cannot_be_read_is_named_and_the_others_are_read() -> None:
    source, probe, clock, sink = host()
    probe.seen = [Unread("storage", "no such path"), Gauge("cpu", float("nan"), "%", 0.1), Gauge("memory", 1.0, "%", 1)]
    source.start()
    clock.advance(1.0)
    source.poll(sink)
    assert sink.rejected == [("rejected_host", "storage cannot be read: no such path")]
    assert [name for name, _, _ in sink.readings] == ["host.memory"]


def test_a_series_that_may_not_be_is_rejected() -> None:
    source, probe, clock, sink = host()
    sink.full, probe.seen = True, [Gauge("cpu", 1.0, "%", 0.1)]
    source.start()
    clock.advance(1.0)
    source.poll(sink)
    assert sink.rejected == [("rejected_series_limit", "host: full")]


def test_this_machine_can_be_read_and_its_values_are_possible() -> None:
    seen = list(PsutilProbe("/").read())
    gauges = {item.channel: item for item in seen if isinstance(item, Gauge)}
    assert {"cpu", "memory", "disk"} <= set(gauges)
    assert all(0 <= gauges[channel].value <= 100 for channel in ("cpu", "memory", "disk"))
    assert all(Series(f"host.{item.channel}", item.unit) for item in seen if not isinstance(item, Unread))


def test_a_disk_that_is_not_there_leaves_the_rest_of_the_machine() -> None:
    seen = list(PsutilProbe("/no/such/path").read())
    assert [item.part for item in seen if isinstance(item, Unread)] == ["storage"]
    assert "cpu" in {item.channel for item in seen if isinstance(item, Gauge)}


def test_temperatures_are_named_after_chip_and_label(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass
    class Entry:
        label: str
        current: float | None

    chips = {"cpu thermal": [Entry("", 47.2), Entry("Core 1", 50.0), Entry("off", None)]}
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: chips, raising=False)
    found = [item for item in PsutilProbe("/").read() if isinstance(item, Gauge) and item.unit == "Cel"]
    assert [item.channel for item in found] == ["temperature.cpu_thermal.0", "temperature.cpu_thermal.Core_1"]


def test_loopback_traffic_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass
    class Counts:
        bytes_recv: int
        bytes_sent: int

    @dataclass
    class Stats:
        flags: str

    flags = {"lo": Stats("up,loopback,running"), "eth0": Stats("up,broadcast"), "wlan0": Stats("up,broadcast")}
    counts = {"lo": Counts(10**9, 10**9), "eth0": Counts(300, 20), "wlan0": Counts(7, 1)}
    monkeypatch.setattr(psutil, "net_if_stats", lambda: flags)
    monkeypatch.setattr(psutil, "net_io_counters", lambda pernic: counts)
    totals = {item.channel: item.value for item in PsutilProbe("/").read() if isinstance(item, Total)}
    assert totals == {"network.received": 307, "network.sent": 21}
    del counts["eth0"], counts["wlan0"]
    assert not [item for item in PsutilProbe("/").read() if isinstance(item, Total)]
