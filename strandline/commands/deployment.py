"""``strandline deployment``: deployments to the local gateway, in the words of greengrass-cli."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strandline.command_line_options import AsJson, LocalRoot
from strandline.errors import reason
from strandline.local_gateway import connect, full_name
from strandline.text import print_json, print_table

if TYPE_CHECKING:
    from device_sim.greengrass.local_client import DeploymentState


ENDED = ("SUCCEEDED", "FAILED", "CANCELED")


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Create, list and show deployments to the local gateway.",
    )
    group.command("create")(create_command)
    group.command("list")(list_command)
    group.command("status")(status_command)
    app.add_typer(group, name="deployment")


def create_command(
    recipes: Annotated[Path | None, typer.Option("--recipeDir", "--recipe-dir", help="Folder of recipes.")] = None,
    artifacts: Annotated[
        Path | None, typer.Option("--artifactDir", "--artifact-dir", help="Folder of artifacts.")
    ] = None,
    merge: Annotated[
        list[str] | None,
        typer.Option(help="[io.strandline.]NAME=VERSION to deploy; may be repeated."),
    ] = None,
    remove: Annotated[list[str] | None, typer.Option(help="NAME to remove; may be repeated.")] = None,
    update_config: Annotated[
        str, typer.Option(help='JSON {"NAME": {"MERGE": {...}, "RESET": [...]}}, or @FILE with it.')
    ] = "",
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the end of the deployment.")] = 120.0,
    root: LocalRoot = None,
    as_json: AsJson = False,
) -> None:
    """Deploy, remove or configure components.

    The exit code is 1 if the deployment fails, or if it has not ended after --wait seconds. With --wait 0 the command
    ends when the deployment is queued.
    """
    add = dict(_version(text) for text in merge or [])
    gone = [full_name(name) for name in remove or []]
    updates = _updates(update_config)
    if not (add or remove or updates):
        raise typer.BadParameter("--merge, --remove or --update-config is required")
    with connect(root) as client:
        found = client.wait(client.deploy(recipes, artifacts, add, gone, updates), wait)
        kept = [one.name for one in client.components() if found.status == "SUCCEEDED" and one.name in gone]
    _show(found, as_json)
    for name in kept:
        typer.echo(f"{name} stays: another deployed component depends on it", err=True)
    done = found.status == "SUCCEEDED" or (wait == 0 and found.status not in ENDED)
    raise typer.Exit(0 if done else 1)


def list_command(root: LocalRoot = None, as_json: AsJson = False) -> None:
    """List the deployments of this run of the nucleus."""
    with connect(root) as client:
        rows = [asdict(one) for one in client.deployments()]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, left=("id", "status", "cause"))


def status_command(
    identifier: Annotated[str, typer.Option("--deploymentId", "-i", help="Id of the deployment.")],
    root: LocalRoot = None,
    as_json: AsJson = False,
) -> None:
    """Show a deployment."""
    with connect(root) as client:
        _show(client.deployment(identifier), as_json)


def _show(found: DeploymentState, as_json: bool) -> None:
    if as_json:
        print_json(asdict(found))
    else:
        typer.echo(f"deployment {found.id}: {found.status}{f': {found.cause}' if found.cause else ''}")


def _version(text: str) -> tuple[str, str]:
    name, separator, version = text.partition("=")
    if not (name and separator and version):
        raise typer.BadParameter(f"--merge {text!r}: NAME=VERSION is required")
    return full_name(name), version


def _updates(text: str) -> dict[str, dict[str, Any]]:
    if not text:
        return {}
    try:
        found = json.loads(Path(text[1:]).read_text() if text.startswith("@") else text)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"--update-config: {reason(error)}") from error
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise typer.BadParameter('--update-config: an object {"NAME": {"MERGE": {...}, "RESET": [...]}} is required')
    return {full_name(name): one for name, one in found.items()}
