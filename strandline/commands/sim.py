"""``strandline sim``: only the sensors, against any broker."""

from __future__ import annotations

import json
import signal
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from strandline.command_line_options import split_address


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sim")(sim_command)


def sim_command(
    broker: Annotated[str, typer.Option(help="HOST:PORT of the MQTT broker.")] = "127.0.0.1:1883",
    duration: Annotated[float, typer.Option(min=1, help="Seconds; the faults are laid out over them.")] = 90.0,
    seed: Annotated[int, typer.Option(help="Another seed, another plant and other faults.")] = 1,
    rate: Annotated[float, typer.Option(min=0.01, max=1000, help="Readings a second of each sensor.")] = 5.0,
    speed: Annotated[float, typer.Option(min=0.001, max=1000, help="How much faster the machines live.")] = 60.0,
    faults: Annotated[bool, typer.Option(help="Lay faults over the signals.")] = True,
    labels: Annotated[Path | None, typer.Option(help="Write the faults' labels there, as JSON lines.")] = None,
) -> None:
    """Publish 24 simulated sensors to sensors/<device>/<channel> as {"value": ..., "time": <ms>} with QoS 1."""
    from device_sim.simulation.devices import MqttPublisher, Pace, Sensors
    from device_sim.simulation.faults import schedule
    from device_sim.simulation.signals import demo_plant
    from edge_components.common.ports import SystemClock
    from strandline.errors import CommandError

    host, port = split_address(broker, "broker")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    plant = demo_plant(seed, rate, speed)
    planned = schedule(plant, duration, seed) if faults else ()
    with MqttPublisher(host, port) as publisher:
        sensors = Sensors(plant, planned, publisher, Pace(SystemClock(), stop.wait))
        sent = sensors.run(duration)
    lines = [json.dumps(asdict(label)) for label in sensors.labels()]
    if labels is not None:
        try:
            labels.write_text("".join(line + "\n" for line in lines))
        except OSError as error:
            raise CommandError(f"{labels}: {error.strerror}") from error
    for line in lines:
        typer.echo(line)
    typer.echo(f"{sent} readings of {len(plant.series)} sensors sent to {broker} and confirmed", err=True)
