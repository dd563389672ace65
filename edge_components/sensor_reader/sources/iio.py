"""Readings from sensors of the Linux industrial I/O subsystem: files below /sys/bus/iio."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edge_components.common.config import absolute_path, integer, text
from edge_components.sensor_reader.errors import SourceError
from edge_components.sensor_reader.source_thread import Outlet, Sample, ThreadSource, rounds
from edge_components.sensor_reader.sources import Context, Kind, Level

UNITS = {
    "temp": (0.001, "Cel"),
    "humidityrelative": (0.001, "%RH"),
    "pressure": (1.0, "kPa"),
    "voltage": (0.001, "V"),
    "current": (0.001, "A"),
    "power": (0.001, "W"),
    "illuminance": (1.0, "lx"),
    "accel": (1.0, "m/s2"),
    "anglvel": (1.0, "rad/s"),
    "magn": (1.0, "G"),
    "concentration": (1.0, "%"),
    "resistance": (1.0, "Ohm"),
    "proximity": (1.0, "1"),
}
"""Factor to the unit, and the unit, by the type of a channel in the kernel's interface."""
_CHANNEL = re.compile(r"in_(?P<channel>(?P<type>[a-z]+)\d*(?:[-_][a-z0-9-]+)*)_(?P<form>input|raw)\Z")


@dataclass(frozen=True, slots=True)
class IioSettings:
    """The sensors of this gateway."""

    path: str = absolute_path("folder of the devices", "/sys/bus/iio/devices")
    interval_ms: int = integer(1_000, 20, 86_400_000, "milliseconds between two readings of all channels")
    prefix: str = text("", "first part of the names of the series; empty is the entry's name")


class IioWorker:
    """Reads all channels; see edge_components.sensor_reader.source_thread.Worker."""

    def __init__(self, settings: IioSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._prefix = settings.prefix or context.name

    def work(self, outlet: Outlet) -> None:
        """Read at the interval until asked to stop; raises SourceError where the folder does not exist."""
        for _ in rounds(outlet, self._context.clock, self._settings.interval_ms / 1000):
            folder = Path(self._settings.path)
            if not folder.is_dir():
                raise SourceError(f"{folder} does not exist")
            samples: list[Sample] = []
            for device in sorted(folder.glob("iio:device*")):
                samples += self._device(device, outlet)
            if samples:
                outlet.works()
                outlet.put(samples)

    def _device(self, device: Path, outlet: Outlet) -> list[Sample]:
        name = _read(device / "name") or device.name
        channels = {}
        for file in sorted(device.glob("in_*")):
            found = _CHANNEL.match(file.name)
            if found is not None and (found["form"] == "input" or found["channel"] not in channels):
                channels[found["channel"]] = (file, found["type"], found["form"])
        samples = []
        for channel, (file, kind, form) in channels.items():
            try:
                value = float(file.read_text())
                if form == "raw":
                    value = (value + _factor(device, channel, kind, "offset", 0.0)) * _factor(
                        device, channel, kind, "scale", 1.0
                    )
            except (OSError, ValueError) as error:
                outlet.reject("iio_failed", f"{device.name} {channel}: {error}", key=f"{device.name} {channel}")
                continue
            factor, unit = UNITS.get(kind, (1.0, ""))
            samples.append(Sample(f"{self._prefix}.{name}.{channel}", value * factor, unit=unit))
        return samples


def _factor(device: Path, channel: str, kind: str, what: str, default: float) -> float:
    """Return the offset or scale of a channel, which its type may share; raises ValueError."""
    for name in (f"in_{channel}_{what}", f"in_{kind}_{what}"):
        text = _read(device / name)
        if text:
            return float(text)
    return default


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, ValueError):
        return ""


def open_iio(settings: IioSettings, context: Context) -> ThreadSource:
    """Return the source of all channels."""
    worker = IioWorker(settings, context)
    return ThreadSource(context, lambda: worker, hang_s=120.0 + settings.interval_ms / 1000)


KIND = Kind(
    IioSettings,
    open_iio,
    level=Level.BRONZE,
    inapplicable={
        "reconnects": "files that are opened for each reading",
        "secure": "a bus on the gateway itself",
        "times": "the driver has no timestamps",
        "qualities": "the driver has no qualities",
    },
)
