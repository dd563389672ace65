"""``strandline doctor``: checks of this machine, each with the command that mends what it found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strandline.command_line_options import AsJson, ask_hidden
from strandline.text import print_json

if TYPE_CHECKING:
    from strandline.doctor.findings import Finding


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor_command)


def doctor_command(
    broker: Annotated[str, typer.Option(help="HOST[:PORT] of the sensors' broker to check.")] = "",
    user: Annotated[str, typer.Option(help="User; the password is STRANDLINE_BROKER_PASSWORD, or prompted for.")] = "",
    ca: Annotated[
        Path | None, typer.Option(help="Certificates trusted to sign the broker's; connects with TLS.")
    ] = None,
    endpoint: Annotated[str, typer.Option(help="IoT data endpoint of the account, whose ports are checked.")] = "",
    port: Annotated[list[int] | None, typer.Option(help="Local port that must be free; may be repeated.")] = None,
    folder: Annotated[Path, typer.Option("--dir", help="Folder whose disk is measured.")] = Path(),
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 3 with a warning.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check this machine: Python, wheels, extras, broker, ports, clock, disk, permissions, nucleus, AWS credentials.

    Each finding has a level (ok, info, warning, error) and the command that mends it. Exit codes: 0 no error, 1 an
    error, 2 invalid arguments, 3 with --strict a warning.
    """
    from strandline.doctor.findings import exit_code, lines

    findings = list(_findings(broker, user, ca, endpoint, port or [], folder.absolute()))
    if as_json:
        print_json([finding.to_dict() for finding in findings])
    else:
        for line in lines(findings):
            typer.echo(line)
    raise typer.Exit(exit_code(findings, strict=strict))


def _findings(
    broker: str, user: str, ca: Path | None, endpoint: str, ports: list[int], folder: Path
) -> Iterator[Finding]:
    import platform
    import sys
    from datetime import UTC, datetime

    from strandline.doctor import machine, python, services

    yield from python.check_python(sys.version_info[:2], platform.machine(), python.this_libc())
    yield from python.check_extras()
    if broker:
        yield from _broker(broker, user, ca)
    yield from machine.check_ports(ports)
    if endpoint:
        yield from machine.check_endpoint(endpoint)
    yield from machine.check_clock(datetime.now(UTC))
    yield from machine.check_disk(folder)
    yield from machine.check_wear()
    devices = sorted(path for pattern in ("ttyUSB*", "ttyACM*", "ttyAMA*") for path in Path("/dev").glob(pattern))
    yield from machine.check_permissions(folder, _groups(), devices)
    yield from services.check_nucleus()
    yield from services.check_aws()


def _broker(address: str, user: str, ca: Path | None) -> Iterator[Finding]:
    from strandline.commands.up import split_broker
    from strandline.doctor.broker import check_broker, connect
    from strandline.sources.broker import connection_keys, read_password

    host, port = split_broker(address, tls=ca is not None)
    given: dict[str, Any] = {"username": user, "tls": ca is not None}
    given |= {"ca_file": str(ca.absolute())} if ca is not None else {}
    keys = connection_keys(host, port, given)
    password = read_password(ask_hidden) if user else None
    yield from check_broker(f"{host}:{port}", connect(keys, password))


def _groups() -> list[str]:
    import grp
    import os

    names = []
    for number in os.getgroups():
        try:
            names.append(grp.getgrgid(number).gr_name)
        except KeyError:
            continue
    return names
