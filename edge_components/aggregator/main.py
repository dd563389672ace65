"""Entry point of the aggregator; see :mod:`edge_components.aggregator`."""

from __future__ import annotations

import sys

from edge_components.aggregator.component import Aggregator
from edge_components.aggregator.config import Config
from edge_components.common.journal import Journal
from edge_components.common.lifecycle import Runtime, run_component

NAME = "Aggregator"


def build(config: Config, runtime: Runtime) -> Aggregator:
    """Return the aggregator on its journal in the work folder."""
    journal, recovered = Journal.open(runtime.work / "journal")
    return Aggregator(config, runtime, journal, recovered)


def main() -> int:
    """Run until stopped; see edge_components.common.lifecycle for the exit codes."""
    return run_component(NAME, Config, build)


if __name__ == "__main__":
    sys.exit(main())
