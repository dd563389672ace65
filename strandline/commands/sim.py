"""``strandline sim``: the simulated sensors, connected to any broker."""

from __future__ import annotations

import json
import signal
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from strandline.command_line_options import AsJson, split_address
from strandline.text import print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sim")(sim_command)


def sim_command(
    broker: Annotated[str, typer.Option(help="Address of the MQTT broker, HOST:PORT.")] = "127.0.0.1:1883",
    duration: Annotated[float, typer.Option(min=1, help="Seconds for which the sensors send.")] = 90.0,
    seed: Annotated[int, typer.Option(help="Seed of the simulated plant and its faults.")] = 1,
    rate: Annotated[float, typer.Option(min=0.01, max=1000, help="Readings per second of each sensor.")] = 5.0,
    speed: Annotated[
        float, typer.Option(min=0.001, max=1000, help="Factor by which simulated time is faster than real time.")
    ] = 60.0,
    faults: Annotated[bool, typer.Option(help="Inject faults into the signals.")] = True,
    labels: Annotated[Path | None, typer.Option(help="File for the labels of the faults, as JSON lines.")] = None,
    as_json: AsJson = False,
) -> None:
    """Publish the readings of 24 simulated sensors with QoS 1.

    The topic is sensors/<device>/<channel>, the payload {"value": ..., "time": <ms>}. The labels of the injected faults
    are printed as JSON lines at the end, with --json as one object with the number of readings.
    """
    from device_sim.simulation.devices import Pace, Sensors
    from device_sim.simulation.faults import schedule
    from device_sim.simulation.mqtt_publisher import MqttPublisher
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
    found = [asdict(label) for label in sensors.labels()]
    lines = [json.dumps(label) for label in found]
    if labels is not None:
        try:
            labels.write_text("".join(line + "\n" for line in lines))
        except OSError as error:
            raise CommandError(f"{labels}: {error.strerror}") from error
    if as_json:
        print_json({"sent": sent, "sensors": len(plant.series), "labels": found})
        return
    for line in lines:
        typer.echo(line)
    typer.echo(f"{sent} readings of {len(plant.series)} sensors sent to {broker} and acknowledged", err=True)
