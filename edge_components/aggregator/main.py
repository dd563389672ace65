"""Wires the aggregator; see :mod:`edge_components.aggregator`."""

from __future__ import annotations

import sys

from edge_components.aggregator.component import Aggregator
from edge_components.aggregator.config import Config
from edge_components.common.lifecycle import run_component

NAME = "Aggregator"


def main() -> int:
    """Run until asked to stop; see edge_components.common.lifecycle for the exit codes."""
    return run_component(NAME, Config, Aggregator)


if __name__ == "__main__":
    sys.exit(main())
