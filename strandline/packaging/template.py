"""Copies of the SAM and fleet templates beside the built Lambda packages, so that `sam build` needs no source tree."""

from __future__ import annotations

from pathlib import Path

from device_sim.errors import BuildError

TEMPLATES = ("template.yaml", "fleet.yaml", "samconfig.toml")
_SOURCE, _BUILT = "CodeUri: ../build/lambda/", "CodeUri: lambda/"


def write_templates(repo: Path, out: Path) -> Path:
    """Write the templates of a source tree to ``out``, which has the folder ``lambda``; return the SAM template's path.

    The file ``samconfig.toml`` beside them has the stages. Raises BuildError.
    """
    try:
        for name in TEMPLATES:
            (out / name).write_text((repo / "cloud_functions" / name).read_text().replace(_SOURCE, _BUILT))
    except OSError as error:
        raise BuildError(f"{error.filename}: {error.strerror}") from error
    return out / TEMPLATES[0]
