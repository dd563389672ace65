"""``strandline build``: the components for greengrass-cli and the package of the Lambda functions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("build")(build_command)


def build_command(
    out: Annotated[Path, typer.Option(help="The folder in which greengrass-build/ and build/ are made.")] = Path(),
    repo: Annotated[
        Path | None, typer.Option(help="The sources; by default those that this command runs from.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Pack components and Lambda functions, the same bytes from the same sources."""
    from device_sim.aws.package import stage_lambda
    from device_sim.build import build, summary
    from device_sim.errors import BuildError
    from device_sim.places import REPO

    repo = repo or REPO
    built = build(repo, out)
    try:
        package = stage_lambda(repo, out / "build" / "lambda")
    except OSError as error:
        raise BuildError(f"{error.filename}: {error.strerror}") from error
    if as_json:
        typer.echo(json.dumps({"recipes": str(built.recipes), "components": summary(built), "lambda": str(package)}))
        return
    for row in summary(built):
        typer.echo(f"{row['name']} {row['version']}  {row['bytes']:>8} B  {row['sha256'][:16]}  {row['zip']}")
    typer.echo(f"Lambda functions' package: {package}")
