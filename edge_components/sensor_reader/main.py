"""Wires the sensor reader; see :mod:`edge_components.sensor_reader`."""

from __future__ import annotations

import sys

from edge_components.common.lifecycle import Runtime, run_component
from edge_components.sensor_reader.component import SensorReader
from edge_components.sensor_reader.config import Config, Settings
from edge_components.sensor_reader.mqtt.subscriptions import FilterFile
from edge_components.sensor_reader.sources import Source
from edge_components.sensor_reader.sources.host import HostSource, PsutilProbe
from edge_components.sensor_reader.sources.mqtt import MqttSettings, open_mqtt

NAME = "SensorReader"
SUBSCRIPTIONS_FILE = "mqtt-subscriptions.json"


def build(config: Config, runtime: Runtime) -> SensorReader:
    """Return the sensor reader with its real sources."""

    def open_source(_name: str, settings: Settings) -> Source:
        if isinstance(settings, MqttSettings):
            store = FilterFile(runtime.work / SUBSCRIPTIONS_FILE, settings.session)
            return open_mqtt(settings, store, runtime.clock, runtime.limited_log, runtime.loop.wake)
        return HostSource(settings, runtime.clock, PsutilProbe(settings.disk))

    return SensorReader(config, runtime, open_source)


def main() -> int:
    """Run until asked to stop; see edge_components.common.lifecycle for the exit codes."""
    return run_component(NAME, Config, build)


if __name__ == "__main__":
    sys.exit(main())
