"""Optional packages that commands need, and the extra of this distribution that installs each."""

from __future__ import annotations

import json
import shlex
import sys
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

EXTRAS = {
    "archive": ("pyarrow",),
    "cloud": ("boto3", "botocore"),
    "sim": (
        "asyncua",
        "awscrt",
        "awsiot",
        "cryptography",
        "iotcore",
        "ministack",
        "paho",
        "psutil",
        "pymodbus",
        "samtranslator",
    ),
    "plot": ("matplotlib", "PIL"),
    "train": ("flatbuffers", "tflite"),
    "train-tensorflow": ("keras", "tensorflow"),
}
_NEED_ALL_OF_SIM = ("demo", "chaos", "up")
_DISTRIBUTION = "strandline"


def missing_package(module: str, command: str) -> str | None:
    """Return the error text of a command whose import failed, None for a module that belongs to no extra."""
    package = module.split(".")[0]
    extra = next((extra for extra, packages in EXTRAS.items() if package in packages), None)
    if extra is None:
        return None
    if command in _NEED_ALL_OF_SIM:
        extra = "sim"
    return f"{command} needs the package {package}, which is not installed: {extra_command(extra)}"


def extra_command(extra: str) -> str:
    """Return the command that adds an extra to this installation."""
    return install_command(extra, _origin(), Path(sys.prefix))


def install_command(extra: str, origin: str | None, environment: Path) -> str:
    """Return the command that adds an extra to an installation in an ``environment`` of pip, pipx or uv.

    ``origin`` is the content of the installation's ``direct_url.json`` (PEP 610): None for one from a package index.
    A wheel that still exists is named, so that the command needs no index for this package.
    """
    wanted = f"{_DISTRIBUTION}[{extra}]"
    url = json.loads(origin) if origin else {}
    path = Path(unquote(urlsplit(str(url.get("url", ""))).path))
    if "archive_info" in url and path.is_file():
        wanted += f" @ {path.as_uri()}"
    return shlex.join(_installer(environment, wanted))


def _installer(environment: Path, wanted: str) -> list[str]:
    """Return the command by which the tool that made an environment installs a requirement."""
    parts = environment.parts
    if parts[-2:] == ("venvs", _DISTRIBUTION):
        return ["pipx", "runpip", _DISTRIBUTION, "install", wanted]
    if parts[-2:] == ("tools", _DISTRIBUTION):
        return ["uv", "tool", "install", "--force", wanted]
    if "uv" in parts:  # the cache of uvx
        return ["uvx", "--from", wanted, _DISTRIBUTION]
    return ["pip", "install", wanted]


def _origin() -> str | None:
    try:
        return metadata.distribution(_DISTRIBUTION).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
