"""Access of commands to the local gateway."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from strandline.command_line_options import LOCAL_ROOTS

if TYPE_CHECKING:
    from device_sim.greengrass.local_client import LocalClient


PREFIX = "io.strandline."


def full_name(name: str) -> str:
    """Return the whole name of a component; one without a dot is a component of Strandline."""
    return name if "." in name else PREFIX + name


def find(root: Path | None) -> Path:
    """Return ``root``, or the folder of the gateway that runs here; raises LocalClientError."""
    from device_sim.greengrass.local_client import find_root

    return find_root(root, LOCAL_ROOTS)


def connect(root: Path | None) -> LocalClient:
    """Connect to the local gateway; raises LocalClientError."""
    from device_sim.greengrass.local_client import LocalClient

    return LocalClient(find(root))
