"""The ``strandline`` command: each file of :mod:`strandline.commands` adds its own to it.

Exit codes: 0 done, 1 it did not do what it must, 2 wrong arguments, 130 and 143 interrupted by SIGINT and SIGTERM.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

import typer

import strandline.commands
from device_sim.errors import SimulationError
from strandline.errors import StrandlineError


def make_app() -> typer.Typer:
    """Return the app with every command registered, in the order of their files' names."""
    app = typer.Typer(
        name="strandline",
        help="From field sensors to cloud alerts over AWS IoT Greengrass, the whole of it on this machine.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for module in sorted(pkgutil.iter_modules(strandline.commands.__path__), key=lambda module: module.name):
        importlib.import_module(f"strandline.commands.{module.name}").register(app)
    return app


def main() -> None:
    """Run the command line; what goes wrong as foreseen is one sentence on standard error."""
    try:
        make_app()()
    except (StrandlineError, SimulationError) as error:
        typer.echo(f"strandline: {error}", err=True)
        sys.exit(1)
