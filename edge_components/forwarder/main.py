"""Entry point of the forwarder; see :mod:`edge_components.forwarder`."""

from __future__ import annotations

import shutil
import sys

from edge_components.common.handover import new_epoch
from edge_components.common.lifecycle import Runtime, run_component
from edge_components.forwarder.component import Forwarder
from edge_components.forwarder.config import Config
from edge_components.forwarder.spool import Spool, open_spool

NAME = "Forwarder"


def build(config: Config, runtime: Runtime) -> Forwarder:
    """Return the forwarder with a spool in the work folder."""

    def opened() -> Spool:
        wall_ms = runtime.clock.wall_ms()
        epoch = new_epoch(wall_ms, runtime.rng)
        return open_spool(runtime.work / "spool.sqlite3", epoch, config.spool_max_bytes, wall_ms)

    return Forwarder(config, runtime, opened, lambda: shutil.disk_usage(runtime.work).free)


def main() -> int:
    """Run until stopped; see edge_components.common.lifecycle for the exit codes."""
    return run_component(NAME, Config, build)


if __name__ == "__main__":
    sys.exit(main())
