"""Checks of Python: its version, wheels for this machine, and installed extras."""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Callable, Iterator

from strandline.doctor.findings import Finding, Level
from strandline.extras import EXTRAS, extra_command
from strandline.packaging.wheels import ARCHITECTURES, GLIBC

OLDEST = (3, 11)
NAMES = {"arm64": "aarch64", "amd64": "x86_64", "armv6l": "armv7l"}


def check_python(version: tuple[int, int], machine: str, libc: tuple[str, str]) -> Iterator[Finding]:
    """Check the version, and whether the package index has wheels; ``libc`` is that of platform.libc_ver()."""
    shown = ".".join(map(str, version))
    if version < OLDEST:
        yield Finding("python", Level.ERROR, f"{shown}, 3.11 or newer is required", "sudo apt-get install python3.11")
    elif shown not in GLIBC:
        yield Finding(
            "python",
            Level.WARNING,
            f"{shown} is newer than what was tried ({', '.join(GLIBC)})",
            "use one of these for a gateway",
        )
    else:
        yield Finding("python", Level.OK, shown)
    machine = NAMES.get(machine.lower(), machine)
    if libc[0] != "glibc":
        yield Finding(
            "wheels",
            Level.WARNING,
            f"the C library is {libc[0] or 'not glibc'}: the package index has no wheels of awscrt and TFLite for it",
            "use Debian, Ubuntu or Raspberry Pi OS on a gateway",
        )
    elif machine not in ARCHITECTURES:
        yield Finding(
            "wheels", Level.ERROR, f"{machine}: wheels exist for {', '.join(ARCHITECTURES)} only", "use such a machine"
        )
    elif machine == "armv7l":
        yield Finding(
            "wheels",
            Level.WARNING,
            "armv7l: the package index has no wheels of awscrt, numpy and psutil",
            "use a 64-bit image, or sudo apt-get install python3-numpy python3-psutil (docs/gateway.md)",
        )
    else:
        yield Finding("wheels", Level.OK, f"the package index has wheels for {machine} and glibc {libc[1]}")


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def check_extras(installed: Callable[[str], bool] = _installed) -> Iterator[Finding]:
    """Check which extras of this package are installed."""
    for extra, packages in EXTRAS.items():
        absent = [package for package in packages if not installed(package)]
        if not absent:
            yield Finding(f"extra {extra}", Level.OK, "installed")
        else:
            text = f"not installed: {', '.join(absent)}"
            yield Finding(f"extra {extra}", Level.INFO, text, extra_command(extra))


def this_libc() -> tuple[str, str]:
    """Return name and version of the C library."""
    return platform.libc_ver()
