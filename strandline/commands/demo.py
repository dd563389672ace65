"""``strandline demo``: the whole system in one run, with the proof at its end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from device_sim.simulation.sensor_broker import BrokerKind


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo_command)


def demo_command(
    duration: Annotated[float, typer.Option(min=20, help="Seconds that the sensors send.")] = 90.0,
    seed: Annotated[int, typer.Option(help="Another seed, another plant and other faults.")] = 1,
    keep_running: Annotated[bool, typer.Option(help="Run on after the summary, until Ctrl-C.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the summary there as one JSON object.")
    ] = None,
    broker: Annotated[
        BrokerKind, typer.Option(help="The broker that sensors and reader meet at.")
    ] = BrokerKind.IOTCORE,
    broker_port: Annotated[int, typer.Option(min=0, max=65535, help="Its port; 0 takes a free one.")] = 0,
) -> None:
    """Run sensors, gateway and cloud on this machine; exit 0 only if nothing was lost, doubled or changed."""
    from rich.console import Console

    from device_sim.demo.configuration import DemoOptions
    from device_sim.demo.run import run
    from strandline.packaging.components import build_here

    options = DemoOptions(duration, seed, keep_running, json_file, broker, broker_port)
    # A pipe has no width of its own.
    raise typer.Exit(run(options, Console(width=None if sys.stdout.isatty() else 120), build_here))
