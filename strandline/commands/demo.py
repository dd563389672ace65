"""``strandline demo``: the whole system in one run, with a proof at the end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from device_sim.cloud_kind import CloudKind
from device_sim.simulation.sensor_broker import BrokerKind
from strandline.command_line_options import AsJson, ResultFile
from strandline.text import print_json

if TYPE_CHECKING:
    from device_sim.demo.summary import Summary


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo_command)


def demo_command(
    duration: Annotated[float, typer.Option(min=20, help="Seconds for which the sensors send.")] = 90.0,
    seed: Annotated[int, typer.Option(help="Seed of the simulated plant and its faults.")] = 1,
    keep_running: Annotated[bool, typer.Option(help="Continue after the summary until Ctrl-C.")] = False,
    broker: Annotated[
        BrokerKind, typer.Option(help="MQTT broker between sensors and sensor reader.")
    ] = BrokerKind.IOTCORE,
    broker_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the broker; 0 selects a free port.")] = 0,
    page_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0 selects a free port.")] = 0,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    cloud: Annotated[CloudKind, typer.Option(help="Cloud whose functions receive the batches.")] = CloudKind.AWS,
    as_json: AsJson = False,
    file: ResultFile = None,
) -> None:
    """Run sensors, gateway and cloud on this machine.

    The exit code is 0 only if no data was lost, duplicated or changed. With --json, the summary is one object on
    standard output, and the progress goes to standard error; --json FILE writes the object to a file. With --cloud
    azure the functions of Azure store the batches in Azurite, which npm installs, and with --cloud google those of
    Google Cloud in the emulator of Bigtable, which Go installs; there is no page then.
    """
    from rich.console import Console

    from device_sim.demo.configuration import DemoOptions
    from device_sim.demo.run import run
    from strandline.packaging.components import build_here

    options = DemoOptions(duration, seed, keep_running, broker, broker_port, page_port or None, open_page, cloud)
    if file is not None and not as_json:
        raise typer.BadParameter("a file for the result needs --json", param_hint="FILE")
    out = sys.stderr if as_json and file is None else sys.stdout
    # A pipe has no width of its own.
    console = Console(file=out, width=None if out.isatty() else 120)

    def publish(summary: Summary) -> None:
        if as_json:
            print_json(summary.to_dict(), file)

    raise typer.Exit(run(options, console, build_here, publish))
