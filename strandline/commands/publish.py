"""``strandline publish``: the components as versions in AWS IoT Greengrass."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from strandline.command_line_options import AsJson, EndpointUrl
from strandline.text import print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("publish")(publish_command)


def publish_command(
    bucket: Annotated[str, typer.Option(help="Bucket for the artifacts.")],
    out: Annotated[Path, typer.Option(help="Output folder of the build, as with strandline build.")] = Path(),
    repo: Annotated[
        Path | None, typer.Option(help="Source tree; default: the one that this command is installed from.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="AWS region; default: that of the AWS configuration.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the commands of the AWS command line and do nothing else.")
    ] = False,
    endpoint_url: EndpointUrl = None,
    as_json: AsJson = False,
) -> None:
    """Upload the artifacts of the components, and create the component versions.

    Publishes what `strandline build` has built into the output folder, with its wheels and extras, and builds the
    components without options where nothing is built. A build with options that is out of date is an error, which names
    the command that repeats it.

    A published version cannot be changed: a changed component needs a higher ComponentVersion in its recipe. What is
    published already is kept. Then deploy the versions to the fleet with cloud_functions/fleet.yaml.
    """
    from device_sim.greengrass.component_build import Nucleus
    from device_sim.paths import SOURCE_TREE
    from strandline.aws import publishing
    from strandline.errors import CommandError
    from strandline.packaging.build_record import last_build
    from strandline.packaging.components import build

    if not dry_run:
        from strandline.account import AwsClients

        clients = AwsClients(endpoint_url, region)
    repo = repo or SOURCE_TREE
    built = last_build(repo, out) or build(repo, out, Nucleus.JAVA)
    if dry_run:
        recipes = built.recipes.with_name("published-recipes")
        try:
            recipes.mkdir(exist_ok=True)
            for component in built.components:
                (recipes / component.recipe.name).write_text(publishing.recipe_of(component, bucket))
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from error
        commands = list(publishing.shell(built, bucket, recipes))
        if as_json:
            print_json({"commands": commands})
        for line in () if as_json else commands:
            typer.echo(line)
        return
    arns = publishing.publish(built, bucket, clients.client, lambda line: typer.echo(line, err=as_json), time.sleep)
    if as_json:
        found = [
            {"name": one.name, "version": one.version, "arn": arns[one.name] or None, "created": bool(arns[one.name])}
            for one in built.components
        ]
        print_json({"components": found})
