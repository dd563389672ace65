"""Options that several commands have, and conversions of option values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Stack = Annotated[str, typer.Option(help="Name of the CloudFormation stack.")]
EndpointUrl = Annotated[str | None, typer.Option(help="Endpoint of a local cloud; or set AWS_ENDPOINT_URL.")]
LOCAL_ROOTS = (Path(".strandline/nucleus"), Path(".strandline/gateway/nucleus"))
"""Roots of the local nucleus of `strandline up` and of `strandline gateway run`."""
LocalRoot = Annotated[
    Path | None, typer.Option("--root", help="Root of the local nucleus; default: that of `up` or `gateway run` here.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value on standard output in the place of text.")]
ResultFile = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="File for the JSON value of --json, in the place of standard output."),
]


def ask_hidden(text: str) -> str:
    """Ask for a password on the terminal, with the question on standard error; return an empty text for none."""
    return str(typer.prompt(text, "", hide_input=True, show_default=False, err=True))


def split_address(address: str, what: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``; raises typer.BadParameter naming ``what`` otherwise."""
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdecimal() and 0 < int(port) < 65536):
        raise typer.BadParameter(f"{what} {address!r}: HOST:PORT with a port from 1 to 65535 is required")
    return host, int(port)


def split_list(text: str) -> tuple[str, ...]:
    """Return the values of a comma-separated list."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
