"""Environment in which Lambda imports a package: its requirements and those of the runtime, and no other packages."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from cloud_functions.core.channels import ChannelType

RUNTIME = ("boto3",)
"""Requirements that the runtime of Lambda has."""


def environment(repo: Path, function: str) -> dict[str, str]:
    """Return the variables that the template gives to a function, with any values, for its import."""
    source = (repo / "cloud_functions" / function / "app.py").read_text()
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    required = [c.args[0] for c in calls if ast.unparse(c.func) == "settings.text" and len(c.args) == 1]
    queues = json.dumps(dict.fromkeys(ChannelType, "x"))
    names = [str(ast.literal_eval(name)) for name in required]
    values = {name: queues if name == "CHANNEL_QUEUES" else "x" for name in names}
    return values | {"AWS_DEFAULT_REGION": "us-east-1"}


def installed(lines: list[str]) -> set[str]:
    """Return the distributions that pip installs for requirements, among those of this environment."""
    found: set[str] = set()
    waiting = [Requirement(line) for line in lines]
    while waiting:
        one = waiting.pop()
        if one.name in found or (one.marker is not None and not one.marker.evaluate({"extra": ""})):
            continue
        found.add(one.name)
        waiting += [Requirement(text) for text in metadata.distribution(one.name).requires or []]
    return found


def link(distributions: Iterable[str], folder: Path) -> None:
    """Put the files of distributions into a folder, as `pip install --target` does."""
    folder.mkdir()
    for name in distributions:
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(distribution.locate_file(top))))
