"""Entry point of the sensor reader; see :mod:`edge_components.sensor_reader`."""

from __future__ import annotations

import sys

from edge_components.common.lifecycle import Runtime, run_component
from edge_components.sensor_reader.component import SensorReader
from edge_components.sensor_reader.config import Config
from edge_components.sensor_reader.entries import Entry, kind_of
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

    reader = SensorReader(config, runtime, open_source)
    return reader


def main() -> int:
    """Run until stopped; see edge_components.common.lifecycle for the exit codes."""
    return run_component(NAME, Config, build)


if __name__ == "__main__":
    sys.exit(main())
