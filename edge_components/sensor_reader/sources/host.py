"""Readings from the machine itself: processor, memory, disk, temperatures and network, through psutil.

Units are those of SenML (RFC 8428, section 12.1).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from edge_components.common.config import absolute_path, integer, text
from edge_components.sensor_reader.source_thread import Outlet, Sample, ThreadSource, rounds
from edge_components.sensor_reader.sources import Context, Kind, Level

_THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
"""Flags of the Raspberry Pi's firmware in hexadecimal: bit 0 undervoltage, bit 2 throttled."""


@dataclass(frozen=True, slots=True)
class HostSettings:
    """The settings of the host source."""

    prefix: str = text(
        "host",
        "first part of the names of the host's series",
        pattern=r"[A-Za-z0-9][A-Za-z0-9_\-]{0,31}",
        allowed="1 to 32 of A-Z a-z 0-9 _ -, the first alphanumeric",
    )
    interval_ms: int = integer(5_000, 100, 3_600_000, "milliseconds between two readings of the host")
    disk: str = absolute_path("a path on the disk whose use is read", "/")


@dataclass(frozen=True, slots=True)
class Gauge:
    """A value that is read directly."""

    channel: str
    value: float
    unit: str
    resolution: float


@dataclass(frozen=True, slots=True)
class Total:
    """A monotonic counter that is read as a rate per second; a decrease means that it was reset."""

    channel: str
    value: int
    unit: str
    resolution: float


@dataclass(frozen=True, slots=True)
class Unread:
    """A part of the machine that cannot be read."""

    part: str
    why: str


Seen = Gauge | Total | Unread


class Probe(Protocol):
    """Port for reading the machine."""

    def read(self) -> Iterable[Seen]:
        """Return the values that can be read now, and the parts that cannot."""


class HostWorker:
    """Reads this machine; see edge_components.sensor_reader.source_thread.Worker.

    It has a thread of its own because a disk on the network can block without end.
    """

    def __init__(self, settings: HostSettings, context: Context, probe: Probe) -> None:
        self._settings, self._context, self._probe = settings, context, probe
        self._totals: dict[str, tuple[float, int]] = {}

    def work(self, outlet: Outlet) -> None:
        """Read all channels at the interval; the first round only begins the rates."""
        first = True
        for _ in rounds(outlet, self._context.clock, self._settings.interval_ms / 1000):
            samples = self.read(outlet)
            outlet.works()
            if not first:
                outlet.put(samples)
            first = False

    def read(self, outlet: Outlet) -> list[Sample]:
        """Return the values that can be read now; parts that cannot be read are rejected."""
        now, samples = self._context.clock.monotonic(), []
        for item in self._probe.read():
            if isinstance(item, Unread):
                outlet.reject("rejected_host", f"{item.part} cannot be read: {item.why}", key=item.part)
                continue
            value = item.value if isinstance(item, Gauge) else self._rate(item, now)
            if value is not None and math.isfinite(value):
                name = f"{self._settings.prefix}.{item.channel}"
                samples.append(Sample(name, value, unit=item.unit, resolution=item.resolution))
        return samples

    def _rate(self, total: Total, now: float) -> float | None:
        before = self._totals.get(total.channel)
        self._totals[total.channel] = (now, total.value)
        if before is None or total.value < before[1] or now <= before[0]:
            return None
        return (total.value - before[1]) / (now - before[0])


class PsutilProbe:
    """The machine as psutil sees it; sensors that this machine does not have are left out."""

    def __init__(self, disk: str) -> None:
        self._disk = disk
        self._loopback: dict[str, bool] = {}

    def read(self) -> Iterable[Seen]:
        """Return the values that can be read now, and the parts that cannot."""
        for read in (self._processor, self._memory, self._storage, self._temperatures, self._network, self._supply):
            try:
                yield from read()
            except (OSError, RuntimeError, NotImplementedError, psutil.Error) as error:
                yield Unread(read.__name__.strip("_"), f"{type(error).__name__}: {error}")

    @staticmethod
    def _processor() -> list[Seen]:
        return [Gauge("cpu", psutil.cpu_percent(interval=None), "%", 0.1)]

    @staticmethod
    def _memory() -> list[Seen]:
        return [Gauge("memory", psutil.virtual_memory().percent, "%", 0.1)]

    def _storage(self) -> list[Seen]:
        return [Gauge("disk", psutil.disk_usage(self._disk).percent, "%", 0.1)]

    def _network(self) -> list[Seen]:
        found = psutil.net_io_counters(pernic=True)
        if found.keys() != self._loopback.keys():  # asking for the flags takes four system calls an interface
            stats = psutil.net_if_stats()
            self._loopback = {name: name in stats and "loopback" in stats[name].flags.split(",") for name in found}
        # Traffic over loopback (a local broker, for example) is not traffic of the network.
        network = [counts for name, counts in found.items() if not self._loopback[name]]
        if not network:
            return []
        return [
            Total("network.received", sum(counts.bytes_recv for counts in network), "B/s", 1.0),
            Total("network.sent", sum(counts.bytes_sent for counts in network), "B/s", 1.0),
        ]

    @staticmethod
    def _supply() -> list[Seen]:
        """Return whether a Raspberry Pi has too little voltage, or is throttled; nothing on another board."""
        try:
            flags = int(_THROTTLED.read_text(), 16)
        except (OSError, ValueError):
            return []
        return [Gauge("undervoltage", float(flags & 1), "1", 1.0), Gauge("throttled", float(flags >> 2 & 1), "1", 1.0)]

    @staticmethod
    def _temperatures() -> list[Seen]:
        found: list[Seen] = []
        for chip, entries in getattr(psutil, "sensors_temperatures", dict)().items():
            for at, entry in enumerate(entries):
                if entry.current is not None:
                    channel = f"temperature.{_word(chip)}.{_word(entry.label or str(at))}"
                    found.append(Gauge(channel, float(entry.current), "Cel", 0.1))
        return found


def _word(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text)


def open_host(settings: HostSettings, context: Context) -> ThreadSource:
    """Return the source of this machine."""
    worker = HostWorker(settings, context, PsutilProbe(settings.disk))
    return ThreadSource(context, lambda: worker, hang_s=60.0 + settings.interval_ms / 1000)


KIND = Kind(
    HostSettings,
    open_host,
    level=Level.GOLD,
    inapplicable={
        "reconnects": "the gateway measures itself",
        "secure": "the gateway measures itself",
        "qualities": "the gateway measures itself",
        "times": "the gateway measures itself",
    },
)
