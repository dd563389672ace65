"""``strandline component``: components of the local gateway, in the words of greengrass-cli."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from strandline.command_line_options import AsJson, LocalRoot
from strandline.local_gateway import connect, find, full_name
from strandline.text import print_json, print_table

NameArgument = Annotated[str, typer.Argument(help="Name of the component; io.strandline. may be left out.")]
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


def list_command(root: LocalRoot = None, as_json: AsJson = False) -> None:
    """List the components with version and state."""
    with connect(root) as client:
        found = client.components()
    rows = [{"name": one.name, "version": one.version, "state": one.state} for one in found]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, left=("name", "version", "state"))


def details_command(name: NameArgument, root: LocalRoot = None, as_json: AsJson = False) -> None:
    """Show a component with its configuration."""
    with connect(root) as client:
        found = client.component(full_name(name))
    if as_json:
        print_json(asdict(found))
        return
    typer.echo(f"{found.name} {found.version}: {found.state}")
    typer.echo(json.dumps(found.configuration, indent=2))


def restart_command(name: NameArgument, root: LocalRoot = None, as_json: AsJson = False) -> None:
    """Restart a component, and return at once."""
    with connect(root) as client:
        client.restart(full_name(name))
    _confirm(full_name(name), "restart", as_json)


def stop_command(name: NameArgument, root: LocalRoot = None, as_json: AsJson = False) -> None:
    """Stop a component, and return at once; `restart` starts it again."""
    with connect(root) as client:
        client.stop(full_name(name))
    _confirm(full_name(name), "stop", as_json)


def logs_command(
    name: NameArgument,
    lines: Annotated[int, typer.Option(min=0, help="Number of lines at the end to print.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue with lines that are added.")] = False,
    root: LocalRoot = None,
    as_json: AsJson = False,
) -> None:
    """Print the log of a component; the name greengrass is the log of the nucleus."""
    from device_sim.greengrass.local_client import log_lines

    if as_json and follow:
        raise typer.BadParameter("--json prints a list that has an end: leave out --follow")
    file = name if name == "greengrass" else full_name(name)
    found = log_lines(find(root) / LOGS / f"{file}.log", lines, follow=follow)
    if as_json:
        print_json(list(found))
        return
    for line in found:
        typer.echo(line)


def _confirm(name: str, command: str, as_json: bool) -> None:
    if as_json:
        print_json({"name": name, "command": command, "accepted": True})
    else:
        typer.echo(f"{name}: {command} accepted; `strandline component list` shows its state")
