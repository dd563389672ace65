"""Entry point of the command-line tool ``strandline``; each module of :mod:`strandline.commands` adds a command.

Exit codes: 0 success, 1 failure, 2 invalid arguments, 130 and 143 interrupted by SIGINT and SIGTERM.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

import strandline.commands
from cloud_functions.core.errors import CloudError
from device_sim.aws.errors import CloudSimError
from device_sim.errors import SimulationError
from device_sim.greengrass.errors import NucleusError
from edge_components.common.errors import EdgeError
from strandline import __version__
from strandline.errors import StrandlineError
from strandline.example_commands import epilog
from strandline.extras import missing_package
from wire.errors import WireError


def make_app() -> typer.Typer:
    """Return the app with every command registered, in the order of their files' names."""
    app = typer.Typer(
        name="strandline",
        no_args_is_help=True,
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # plain text, whose paragraphs are wrapped to the terminal
    )
    app.callback()(_options)
    for module in sorted(pkgutil.iter_modules(strandline.commands.__path__), key=lambda module: module.name):
        importlib.import_module(f"strandline.commands.{module.name}").register(app)
    for command in app.registered_commands:
        command.epilog = epilog(command.name or "")
    for group in app.registered_groups:
        group.epilog = epilog(str(group.name))
    return app


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"strandline {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Build, deploy, simulate and operate Strandline: field gateways on AWS IoT Greengrass and their cloud.

    Exit codes: 0 success, 1 failure (the reason is on standard error), 2 invalid arguments, 130 and 143 ended by
    Ctrl-C and SIGTERM. `strandline doctor` has codes of its own.
    """


def main() -> None:
    """Run the command line; an expected error ends it with one line on standard error and exit code 1."""
    try:
        make_app()()
    except Exception as error:
        text = problem(error, sys.argv[1:])
        if text is None:
            raise
        typer.echo(f"strandline: {text}", err=True)
        sys.exit(1)


EXPECTED = (StrandlineError, SimulationError, NucleusError, CloudSimError, EdgeError, CloudError, WireError)
"""Bases of the errors whose text is a sentence for the user."""


def problem(error: Exception, arguments: Sequence[str]) -> str | None:
    """Return the sentence for an expected error of a command, None for a defect of the program."""
    if isinstance(error, EXPECTED):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return missing_package(error.name or "", next(iter(arguments), ""))
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return None
