"""Readings from 1-Wire thermometers, which Linux provides as files below /sys/bus/w1."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edge_components.common.config import absolute_path, integer, text
from edge_components.sensor_reader.errors import SourceError
from edge_components.sensor_reader.source_thread import Outlet, Sample, ThreadSource, rounds
from edge_components.sensor_reader.sources import Context, Kind, Level

FAMILIES = ("10", "22", "28", "3b", "42")
"""Family codes of thermometers."""
_POWER_ON_MILLIDEGREES = 85_000
_TEMPERATURE = re.compile(r"t=(-?\d{1,7})\s*\Z")


@dataclass(frozen=True, slots=True)
class OnewireSettings:
    """The thermometers of this gateway."""

    path: str = absolute_path("folder of the devices", "/sys/bus/w1/devices")
    interval_ms: int = integer(10_000, 1_000, 86_400_000, "milliseconds between two readings of all devices")
    prefix: str = text("", "first part of the names of the series; empty is the entry's name")


class OnewireWorker:
    """Reads all thermometers; see edge_components.sensor_reader.source_thread.Worker."""

    def __init__(self, settings: OnewireSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._prefix = settings.prefix or context.name
        self._seen: dict[str, int] = {}

    def work(self, outlet: Outlet) -> None:
        """Read at the interval until asked to stop; raises SourceError where the folder does not exist."""
        for _ in rounds(outlet, self._context.clock, self._settings.interval_ms / 1000):
            folder = Path(self._settings.path)
            if not folder.is_dir():
                raise SourceError(f"{folder} does not exist: is the driver w1-gpio loaded?")
            for device in sorted(folder.iterdir()):
                if device.name.partition("-")[0] in FAMILIES:
                    self._read(device, outlet)

    def _read(self, device: Path, outlet: Outlet) -> None:
        """Read one thermometer, which takes most of a second."""
        try:
            lines = (device / "w1_slave").read_text().splitlines()
        except (OSError, ValueError) as error:
            outlet.reject("onewire_failed", f"{device.name}: {error}", key=device.name)
            return
        found = _TEMPERATURE.search(lines[1]) if len(lines) > 1 else None
        if found is None or not lines[0].endswith("YES"):
            outlet.reject("onewire_failed", f"{device.name}: the checksum does not match", key=device.name)
            return
        millidegrees = int(found[1])
        before = self._seen.get(device.name)
        if millidegrees == _POWER_ON_MILLIDEGREES and (before is None or abs(before - millidegrees) > 10_000):
            outlet.reject("onewire_failed", f"{device.name}: 85 degrees, its value after a reset", key=device.name)
            return
        self._seen[device.name] = millidegrees
        outlet.works()
        outlet.put([Sample(f"{self._prefix}.{device.name}", millidegrees / 1000, unit="Cel", resolution=0.001)])


def open_onewire(settings: OnewireSettings, context: Context) -> ThreadSource:
    """Return the source of all thermometers."""
    worker = OnewireWorker(settings, context)
    return ThreadSource(context, lambda: worker, hang_s=120.0 + settings.interval_ms / 1000)


KIND = Kind(
    OnewireSettings,
    open_onewire,
    level=Level.BRONZE,
    inapplicable={
        "reconnects": "files that are opened for each reading",
        "secure": "a bus on the gateway itself",
        "times": "the driver has no timestamps",
    },
)
