"""``strandline gateway``: provision a gateway in AWS, or run one on the local nucleus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from device_sim.greengrass.component_build import Nucleus
from strandline.command_line_options import AsJson, EndpointUrl, Stack, split_address
from strandline.text import print_json


def register(app: typer.Typer) -> None:
    """Add the commands."""
    gateway = typer.Typer(no_args_is_help=True, help="Provision a gateway in AWS, or run one on the local nucleus.")
    gateway.command("run")(run_command)
    gateway.command("provision")(provision_command)
    app.add_typer(gateway, name="gateway")


def provision_command(
    name: Annotated[str, typer.Argument(help="Name of the gateway: its thing, MQTT client id and part of its topics.")],
    bucket: Annotated[str, typer.Option(help="Bucket with the artifacts of the components.")],
    group: Annotated[str, typer.Option(help="Thing group, to which fleet deployments go.")] = "strandline-gateways",
    role_alias: Annotated[
        str, typer.Option(help="Role alias of the nucleus; TokenExchangeRoleAlias of the stack.")
    ] = "GreengrassV2TokenExchangeRoleAlias",
    role: Annotated[str, typer.Option(help="Role of the alias; made with the right to read the bucket.")] = (
        "StrandlineTokenExchange"
    ),
    region: Annotated[str | None, typer.Option(help="AWS region; default: that of the AWS configuration.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for certificate, key and config.yaml; default: gateways/NAME.")
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="Perform the commands in the place of printing them.")] = False,
    stack: Stack = "strandline",
    endpoint_url: EndpointUrl = None,
    as_json: AsJson = False,
) -> None:
    """Provision a gateway: thing, thing group, certificate, policies, token exchange role and alias.

    Prints the commands of the AWS command line as a shell script. With --run it performs them with the credentials of
    the environment. What exists is kept, so the command may be repeated; the private key is written with the rights of
    its owner only.
    """
    from strandline.aws import provisioning
    from strandline.aws.steps import shell
    from strandline.errors import CommandError
    from wire.errors import ModelError
    from wire.names import check_gateway

    try:
        check_gateway(name)
    except ModelError as error:
        raise CommandError(str(error)) from error
    folder = out or Path("gateways") / name.replace(":", "%3A")
    gateway = provisioning.Gateway(name, group, stack, bucket, role_alias, role, region or "$REGION")
    if not run:
        script = [*shell(provisioning.steps(gateway)), *provisioning.files(gateway, folder)]
        if as_json:
            print_json({"commands": script})
        for line in () if as_json else script:
            typer.echo(line)
        return
    from dataclasses import replace

    from strandline.account import AwsClients

    clients = AwsClients(endpoint_url, region)
    gateway = replace(gateway, region=clients.region, partition=clients.partition)
    provisioning.provision(gateway, folder, clients.client, lambda line: typer.echo(line, err=True))
    if as_json:
        names = (provisioning.CERTIFICATE, provisioning.KEY, provisioning.CONFIG)
        print_json({"gateway": name, "folder": str(folder), "files": list(names)})
        return
    typer.echo(f"copy {folder} to the gateway: {provisioning.CERTIFICATE}, {provisioning.KEY} and, for nucleus lite, ")
    typer.echo(f"{provisioning.CONFIG}; see docs/gateway.md")


def run_command(
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
    from strandline.errors import CommandError, reason

    if config is None:
        return {}
    try:
        given = json.loads(config.read_bytes())
    except (OSError, ValueError) as error:
        raise CommandError(f"--config {config}: {reason(error)}") from error
    if not isinstance(given, dict) or not all(isinstance(values, dict) for values in given.values()):
        raise CommandError(f"--config {config}: a JSON object of objects, {{component: {{key: value}}}}, is required")
    return given
