"""``strandline demo``: the whole system in one run, with a proof at the end."""

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
    duration: Annotated[float, typer.Option(min=20, help="Seconds for which the sensors send.")] = 90.0,
    seed: Annotated[int, typer.Option(help="Seed of the simulated plant and its faults.")] = 1,
    keep_running: Annotated[bool, typer.Option(help="Continue after the summary until Ctrl-C.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the summary as a JSON object.")] = None,
    broker: Annotated[
        BrokerKind, typer.Option(help="MQTT broker between sensors and sensor reader.")
    ] = BrokerKind.IOTCORE,
    broker_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the broker; 0 selects a free port.")] = 0,
    page_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0 selects a free port.")] = 0,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Run sensors, gateway and cloud on this machine.

    The exit code is 0 only if no data was lost, duplicated or changed.
    """
    from rich.console import Console

    from device_sim.demo.configuration import DemoOptions
    from device_sim.demo.run import run
    from strandline.packaging.components import build_here

    options = DemoOptions(duration, seed, keep_running, json_file, broker, broker_port, page_port or None, open_page)
    # A pipe has no width of its own.
    raise typer.Exit(run(options, Console(width=None if sys.stdout.isatty() else 120), build_here))
