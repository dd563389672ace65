"""``strandline gateway``: the local nucleus with the components, connected to any AWS IoT endpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from device_sim.greengrass.component_build import Nucleus
from strandline.command_line_options import split_address


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("gateway")(gateway_command)


def gateway_command(
    thing: Annotated[str, typer.Option(help="Name of the gateway: its AWS IoT thing and MQTT client id.")],
    endpoint: Annotated[str, typer.Option(help="MQTT endpoint of AWS IoT Core, HOST:PORT.")],
    cert: Annotated[Path, typer.Option(help="Certificate of the gateway (PEM).")],
    key: Annotated[Path, typer.Option(help="Private key of the gateway (PEM).")],
    ca: Annotated[Path, typer.Option(help="Certificate authority of the endpoint (PEM).")],
    broker: Annotated[str, typer.Option(help="Address of the sensors' MQTT broker, HOST:PORT.")] = "127.0.0.1:1883",
    config: Annotated[
        Path | None,
        typer.Option(help="JSON file {component: {key: value}} to merge into the components' configurations."),
    ] = None,
    models: Annotated[
        Path | None,
        typer.Option(help="Output folder of `strandline train`; the newest version of each model is deployed."),
    ] = None,
    root: Annotated[Path, typer.Option(help="Folder of the gateway for logs, spool and calibration.")] = Path(
        ".strandline/gateway"
    ),
    profile: Annotated[
        Nucleus, typer.Option(help="Greengrass nucleus that the local nucleus emulates.")
    ] = Nucleus.JAVA,
    region: Annotated[str, typer.Option(help="AWS region in the environment of the components.")] = "us-east-1",
) -> None:
    """Run a gateway on the local nucleus.

    Runs until SIGTERM or Ctrl-C, and prints one JSON line for each change of a component's state.
    """
    from device_sim.demo.configuration import SENSOR_READER
    from device_sim.greengrass.main import main
    from strandline.errors import CommandError
    from strandline.packaging.components import build_here
    from strandline.training.model_component import copy_newest_models

    host, port = split_address(broker, "broker")
    merged = _read(config)
    sources = [{"name": "mqtt", "kind": "mqtt", "host": host, "port": port}, {"name": "host", "kind": "host"}]
    merged[SENSOR_READER] = {"sources": sources, **merged.get(SENSOR_READER, {})}
    built = build_here(root / "build", profile)
    merge_file = root / "merge.json"
    try:
        merge_file.write_text(json.dumps(merged))
    except OSError as error:
        raise CommandError(f"{merge_file}: {error.strerror}") from error
    argv = ["--root", str(root / "nucleus"), "--thing", thing, "--region", region, "--profile", profile]
    argv += ["--recipes", str(built.recipes), "--artifacts", str(built.artifacts), "--merge-config", str(merge_file)]
    argv += ["--iot-endpoint", endpoint, "--cert", str(cert), "--key", str(key), "--ca", str(ca)]
    deploy = built.versions
    if models is not None:
        deploy |= copy_newest_models(models, built.recipes, built.artifacts)
    for name, version in deploy.items():
        argv += ["--deploy", f"{name}={version}"]
    raise typer.Exit(main(argv))


def _read(config: Path | None) -> dict[str, dict[str, object]]:
    from strandline.errors import CommandError

    if config is None:
        return {}
    try:
        given = json.loads(config.read_bytes())
    except (OSError, ValueError) as error:
        raise CommandError(f"--config {config}: {error}") from error
    if not isinstance(given, dict) or not all(isinstance(values, dict) for values in given.values()):
        raise CommandError(f"--config {config}: a JSON object of objects, {{component: {{key: value}}}}, is required")
    return given
