"""Entry point of the sensor reader; see :mod:`edge_components.sensor_reader`."""

from __future__ import annotations

import sys
from functools import partial

from edge_components.common.lifecycle import Runtime, run_component
from edge_components.sensor_reader.component import SensorReader
from edge_components.sensor_reader.config import Config
from edge_components.sensor_reader.entries import Entry, kind_of
from edge_components.sensor_reader.mqtt.ended_sessions import Connection, EndedSessions
from edge_components.sensor_reader.mqtt.settings import MqttSettings
from edge_components.sensor_reader.mqtt.subscriptions import FilterStore
from edge_components.sensor_reader.source_log import SourceLog
from edge_components.sensor_reader.sources import Context, Source

NAME = "SensorReader"


def build(config: Config, runtime: Runtime) -> SensorReader:
    """Return the sensor reader with its real sources."""

    def open_source(entry: Entry, log: SourceLog) -> Source:
        context = Context(
            entry.name, runtime.gateway, runtime.clock, log, runtime.loop.wake, runtime.work, lambda: reader.hold_s
        )
        return kind_of(entry.kind).open(entry.settings, context)

    sessions = EndedSessions(
        runtime.gateway, runtime.work, runtime.clock, runtime.limited_log, partial(_connect, runtime)
    )
    reader = SensorReader(config, runtime, open_source, sessions)
    return reader


class _NoLog:
    """An EventLog that drops everything, for connections that belong to no source."""

    def count(self, reason: str, count: int = 1) -> None: ...
    def info(self, reason: str, message: str, count: int = 1, *, key: str = "") -> None: ...
    def warning(self, reason: str, message: str, count: int = 1, *, key: str = "") -> None: ...
    def error(self, reason: str, message: str, count: int = 1, *, key: str = "") -> None: ...


def _connect(runtime: Runtime, settings: MqttSettings, store: FilterStore) -> Connection:
    from edge_components.sensor_reader.mqtt.connection import MqttConnection  # loads the MQTT library

    return MqttConnection(settings, [], store, runtime.clock, _NoLog(), runtime.loop.wake, lambda: 1.0)


def main() -> int:
    """Run until stopped; see edge_components.common.lifecycle for the exit codes."""
    return run_component(NAME, Config, build)


if __name__ == "__main__":
    sys.exit(main())
