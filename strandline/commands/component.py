"""``strandline component``: components of the local gateway, in the words of greengrass-cli."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from strandline.command_line_options import AsJson, LocalRoot
from strandline.local_gateway import connect, find
from strandline.text import print_table

NameArgument = Annotated[str, typer.Argument(help="Name of the component; io.strandline. may be left out.")]
PREFIX = "io.strandline."
LOGS = "logs"


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        no_args_is_help=True,
        help="List, restart, stop components of the local gateway, and show their logs.",
    )
    group.command("list")(list_command)
    group.command("details")(details_command)
    group.command("restart")(restart_command)
    group.command("stop")(stop_command)
    group.command("logs")(logs_command)
    app.add_typer(group, name="component")


def full_name(name: str) -> str:
    """Return the whole name of a component."""
    return name if "." in name else PREFIX + name


def list_command(root: LocalRoot = None, as_json: AsJson = False) -> None:
    """List the components with version and state."""
    with connect(root) as client:
        found = client.components()
    rows = [{"name": one.name, "version": one.version, "state": one.state} for one in found]
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        print_table(rows, left=("name", "version", "state"))


def details_command(name: NameArgument, root: LocalRoot = None) -> None:
    """Print a component with its configuration as JSON."""
    with connect(root) as client:
        typer.echo(json.dumps(asdict(client.component(full_name(name))), indent=2))


def restart_command(name: NameArgument, root: LocalRoot = None) -> None:
    """Restart a component."""
    with connect(root) as client:
        client.restart(full_name(name))
    typer.echo(f"{full_name(name)} restarts")


def stop_command(name: NameArgument, root: LocalRoot = None) -> None:
    """Stop a component."""
    with connect(root) as client:
        client.stop(full_name(name))
    typer.echo(f"{full_name(name)} stops")


def logs_command(
    name: NameArgument,
    lines: Annotated[int, typer.Option(min=0, help="Number of lines at the end to print.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue with lines that are added.")] = False,
    root: LocalRoot = None,
) -> None:
    """Print the log of a component; the name greengrass is the log of the nucleus."""
    from device_sim.greengrass.local_client import log_lines

    file = name if name == "greengrass" else full_name(name)
    for line in log_lines(find(root) / LOGS / f"{file}.log", lines, follow=follow):
        typer.echo(line)
