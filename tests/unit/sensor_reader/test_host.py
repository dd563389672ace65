"""The host is read at its interval, counters as rates, and a failing part does not affect others."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from edge_components.sensor_reader.source_thread import Outlet, Sample
from edge_components.sensor_reader.sources.host import (
    Gauge,
    HostSettings,
    HostWorker,
    PsutilProbe,
    Seen,
    Total,
    Unread,
)
from tests.fakes import FakeClock
from tests.unit.sensor_reader.thread_site import ThreadSite
from wire.model import Series


class ListOutlet:
    """Outlet that records rejections."""

    def __init__(self) -> None:
        self.rejected: list[tuple[str, str]] = []

    def reject(self, reason: str, text: str, *, key: str = "") -> None:
        self.rejected.append((reason, text))


class FakeProbe:
    def __init__(self) -> None:
        self.seen: list[Seen] = []

    def read(self) -> list[Seen]:
        return list(self.seen)


class Host:
    """A worker on a fake machine and a fake clock."""

    def __init__(self) -> None:
        self.probe, self.clock, self.outlet = FakeProbe(), FakeClock(), ListOutlet()
        context: Any = SimpleNamespace(clock=self.clock)
        self.worker = HostWorker(HostSettings("host", 1_000, "/"), context, self.probe)

    def read(self, *seen: Seen) -> list[Sample]:
        self.probe.seen = list(seen)
        self.clock.advance(2.0)
        return self.worker.read(cast(Outlet, self.outlet))


def test_values_are_read_with_unit_and_resolution() -> None:
    assert Host().read(Gauge("cpu", 5.0, "%", 0.1)) == [Sample("host.cpu", 5.0, unit="%", resolution=0.1)]


def test_counts_are_read_as_rates_and_one_that_was_reset_makes_none() -> None:
    host = Host()
    totals = [1_000, 2_000, 2_000, 10, 110]
    found = [[one.value for one in host.read(Total("network.sent", total, "B/s", 1.0))] for total in totals]
    assert found == [[], [500.0], [0.0], [], [50.0]]


@pytest.mark.source_quality("malformed", "host")
def test_a_part_that_cannot_be_read_is_named_and_the_others_are_read() -> None:
    host = Host()
    seen = (Unread("storage", "no such path"), Gauge("cpu", float("nan"), "%", 0.1), Gauge("memory", 1.0, "%", 1))
    assert [one.name for one in host.read(*seen)] == ["host.memory"]
    assert host.outlet.rejected == [("rejected_host", "storage cannot be read: no such path")]


def test_the_machine_is_read_at_an_interval_with_rates_from_the_first_reading_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = iter(range(0, 10**9, 1_000))
    monkeypatch.setattr(PsutilProbe, "read", lambda _probe: [Total("network.sent", next(sent), "B/s", 1.0)])
    with ThreadSite("host", {"interval_ms": 100}) as site:
        site.poll_until(lambda: len(site.sink.readings) >= 2)
    times = [time_ms for _name, time_ms, _value in site.sink.readings]
    assert times[1] - times[0] >= 50
    assert site.units == {"host.network.sent": "B/s"}


@pytest.mark.source_quality("hangs", "host")
def test_a_disk_that_does_not_answer_does_not_block_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    answered, reading = threading.Event(), threading.Event()

    def read(_probe: PsutilProbe) -> list[Seen]:
        reading.set()
        answered.wait(10.0)
        return []

    monkeypatch.setattr(PsutilProbe, "read", read)
    with ThreadSite("host", {"interval_ms": 100}) as site:
        assert reading.wait(10.0)
        began = time.monotonic()
        site.source.poll(site.sink)
        assert time.monotonic() - began < 5.0
        answered.set()


@pytest.mark.source_quality("independent", "host")
@pytest.mark.source_quality("peer", "host")
def test_this_machine_can_be_read_and_its_values_are_possible() -> None:
    seen = list(PsutilProbe("/").read())
    gauges = {item.channel: item for item in seen if isinstance(item, Gauge)}
    assert {"cpu", "memory", "disk"} <= set(gauges)
    assert all(0 <= gauges[channel].value <= 100 for channel in ("cpu", "memory", "disk"))
    assert all(Series(f"host.{item.channel}", item.unit) for item in seen if not isinstance(item, Unread))


@pytest.mark.source_quality("unreachable", "host")
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
