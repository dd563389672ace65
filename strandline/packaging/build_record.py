"""Record of the last build of the components, by which it can be published as it was built."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from device_sim.errors import BuildError
from device_sim.greengrass.component_build import Built, BuiltComponent, Nucleus
from strandline.packaging.components import FOLDERS, source_digests

_FILE = Path("build") / "components.json"


def write(repo: Path, out: Path, built: Built, options: Sequence[str]) -> None:
    """Record a build for the Java nucleus, with the options of ``strandline build`` that its artifacts depend on."""
    digests = source_digests(repo)
    components = [
        {
            "name": one.name,
            "version": one.version,
            "artifact": one.artifact.name,
            "sha256": one.sha256,
            "recipe_sha256": _digest(one.recipe),
            "sources": digests[one.name],
        }
        for one in built.components
    ]
    target = out / _FILE
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps({"options": list(options), "components": components}, indent=1) + "\n")
    except OSError as error:
        raise BuildError(f"{error.filename or target}: {error.strerror}") from error


def last_build(repo: Path, out: Path) -> Built | None:
    """Return the recorded build, None without one and for one without options that is out of date.

    Raises BuildError for a build with options whose sources or files changed since: another build without these options
    would have other artifacts.
    """
    record = out / _FILE
    try:
        body = json.loads(record.read_text())
        options, rows = [str(one) for one in body["options"]], list(body["components"])
        names = {str(row["name"]) for row in rows}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BuildError(f"{record}: not the record of a build: {error}; repeat strandline build") from error
    digests = source_digests(repo)
    changed = sorted(row["name"] for row in rows if digests.get(row["name"]) != row["sources"])
    changed += sorted(digests.keys() - names)
    folder = out / FOLDERS[Nucleus.JAVA]
    components = []
    for row in rows:
        recipe = folder / "recipes" / f"{row['name']}-{row['version']}.yaml"
        artifact = folder / "artifacts" / row["name"] / row["version"] / row["artifact"]
        if _digest(artifact) != row["sha256"] or _digest(recipe) != row["recipe_sha256"]:
            changed.append(row["name"])
            continue
        size = artifact.stat().st_size
        components.append(BuiltComponent(row["name"], row["version"], recipe, artifact, size, row["sha256"]))
    if not changed:
        return Built(Nucleus.JAVA, folder / "recipes", folder / "artifacts", tuple(components))
    if not options:
        return None
    again = shlex.join(["strandline", "build", *options])
    names_text = ", ".join(dict.fromkeys(changed))
    raise BuildError(f"{folder} is out of date ({names_text}); build it again with the same options: {again}")


def _digest(path: Path) -> str | None:
    """Return the SHA-256 of a file, None for one that cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
