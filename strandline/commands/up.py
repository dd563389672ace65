"""``strandline up``: the local gateway and the local cloud on the readings of the user's own broker."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from strandline.command_line_options import AsJson, ask_hidden
from strandline.text import print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("up")(up_command)


def up_command(
    broker: Annotated[str, typer.Option(help="HOST[:PORT] of the broker; the port is 1883, or 8883 with TLS.")],
    user: Annotated[str, typer.Option(help="User; the password is STRANDLINE_BROKER_PASSWORD, or prompted for.")] = "",
    tls: Annotated[bool, typer.Option("--tls", help="Connect with TLS; also with --ca and --cert.")] = False,
    ca: Annotated[Path | None, typer.Option(help="Certificates trusted to sign the broker's.")] = None,
    cert: Annotated[Path | None, typer.Option(help="The client's certificate.")] = None,
    key: Annotated[Path | None, typer.Option(help="The key of the client's certificate.")] = None,
    topics: Annotated[str, typer.Option(help="Topic filter that is learned.")] = "#",
    learn: Annotated[float, typer.Option(min=0.1, help="Seconds for which topics are learned in the first run.")] = 15,
    learn_again: Annotated[bool, typer.Option("--learn-again", help="Learn the topics also in a later run.")] = False,
    duration: Annotated[
        float | None, typer.Option(min=0, help="Seconds after which to end; default: until Ctrl-C.")
    ] = None,
    window: Annotated[float, typer.Option(min=0.1, max=3600, help="Width of the windows in seconds.")] = 10.0,
    folder: Annotated[Path, typer.Option("--dir", help="Folder of configuration, data and logs.")] = Path(
        ".strandline"
    ),
    name: Annotated[str, typer.Option(help="Name of the gateway.")] = "local",
    page_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the page; 0: that of the last run, or a free one.")
    ] = 0,
    host: Annotated[
        bool, typer.Option("--host/--no-host", help="Also measure this computer (host.*), without alerts.")
    ] = True,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run gateway and cloud on this machine with the readings of your own broker.

    The first run learns the topics and proposes a mapping, which it prints and keeps in a file. Data are kept in --dir
    over Ctrl-C and restarts. Nothing leaves this machine. With --json, one object with the addresses, the token and
    the paths is printed as soon as everything runs, and all other lines go to standard error. Needs the extra `sim`.
    """
    from device_sim.greengrass.component_build import Nucleus
    from strandline.errors import CommandError
    from strandline.packaging.components import build_here
    from strandline.sources.broker import connection_keys
    from strandline.up.configuration import UpOptions
    from strandline.up.run import ERRORS, password, run
    from wire.errors import ModelError
    from wire.names import check_gateway

    try:
        check_gateway(name)
    except ModelError as error:
        raise CommandError(f"--name: {error}") from error
    files = {"ca_file": ca, "cert_file": cert, "key_file": key}
    given: dict[str, Any] = {option: str(file.absolute()) for option, file in files.items() if file is not None}
    given |= {"username": user, "tls": tls or ca is not None or cert is not None}
    address, port = split_broker(broker, tls=given["tls"])
    options = UpOptions(
        connection=connection_keys(address, port, given),
        password=password(ask_hidden, folder) if user else None,
        topics=topics,
        learn_s=learn,
        learn_again=learn_again,
        duration_s=duration,
        window_s=window,
        folder=folder,
        gateway=name,
        page_port=page_port or None,
        host=host,
        open_page=open_page,
    )

    def show(text: str) -> None:
        typer.echo(text if text.startswith("export ") else f"{time.strftime('%H:%M:%S')}  {text}", err=as_json)

    def publish(addresses: Mapping[str, str]) -> None:
        if as_json:
            print_json(dict(addresses))

    try:
        code = run(options, show, lambda out, nucleus: build_here(out, Nucleus(nucleus)), publish)
    except ERRORS as error:
        raise CommandError(str(error)) from error
    raise typer.Exit(code)


def split_broker(address: str, *, tls: bool) -> tuple[str, int]:
    """Return host and port of ``HOST[:PORT]``; raises typer.BadParameter."""
    from strandline.command_line_options import split_address

    bare = address.removeprefix("mqtt://").removeprefix("tcp://")
    if ":" not in bare:
        bare = f"{bare}:{8883 if tls else 1883}"
    return split_address(bare, "--broker")
