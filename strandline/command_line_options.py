"""Values of options that several commands have."""

from __future__ import annotations

import typer


def split_address(address: str, what: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``; raises typer.BadParameter naming ``what`` otherwise."""
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdecimal() and 0 < int(port) < 65536):
        raise typer.BadParameter(f"{what} {address!r}: HOST:PORT with a port from 1 to 65535")
    return host, int(port)
