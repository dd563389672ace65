"""``strandline build``: the Greengrass components and the package of the Lambda functions."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from device_sim.greengrass.component_build import Nucleus
from strandline.command_line_options import AsJson, split_list
from strandline.text import print_json

if TYPE_CHECKING:
    from strandline.packaging.wheels import Collected
    from strandline.progress import Progress


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("build")(build_command)


def build_command(
    out: Annotated[Path, typer.Option(help="Output folder.")] = Path(),
    repo: Annotated[
        Path | None, typer.Option(help="Source tree; default: the one that this command is installed from.")
    ] = None,
    nucleus: Annotated[
        Nucleus,
        typer.Option(
            help="java: zips in greengrass-build/, for greengrass-cli and for fleet deployments to both nuclei. "
            "lite: folders in greengrass-build-lite/, for ggl-cli, which does not unzip."
        ),
    ] = Nucleus.JAVA,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Add wheels to the artifact, for gateways without access to a package index."),
    ] = False,
    python: Annotated[
        list[str] | None,
        typer.Option(
            help="With --offline: Python version of the gateways (3.11, 3.12, 3.13); repeat it or separate by commas."
        ),
    ] = None,
    arch: Annotated[
        list[str] | None,
        typer.Option(help="With --offline: processor (aarch64, x86_64, armv7l); default: all."),
    ] = None,
    wheels: Annotated[
        Path | None,
        typer.Option(
            help="With --offline: folder of additional wheels, for boards that the package index does not support."
        ),
    ] = None,
    extras: Annotated[
        list[str] | None,
        typer.Option(
            help="Packages of single kinds of sources that the gateways get, too: modbus, opcua, serial, archive."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Build the components and the Lambda functions.

    Prints the command that deploys the components. The build is reproducible: the same sources give the same bytes.
    """
    from device_sim.aws import service_models
    from device_sim.aws.package import stage_functions
    from device_sim.paths import SOURCE_TREE
    from edge_components.runtime.main import groups
    from strandline.errors import CommandError
    from strandline.packaging.build_record import write as write_record
    from strandline.packaging.components import build, deployment_command, summary
    from strandline.packaging.template import write_templates
    from strandline.packaging.wheels import merged
    from strandline.progress import ProgressLine

    repo = repo or SOURCE_TREE
    if not offline and (python or arch or wheels):
        raise CommandError("--python, --arch and --wheels require --offline")
    chosen = _listed("--extras", extras, (), groups())
    with ProgressLine("wheels", "requirements", quiet=as_json) as progress:
        folder = out / "build" / "wheels"
        collected = _collect(repo, folder, python, arch, wheels, chosen, progress) if offline else []
        progress.start("build", "components")
        built = build(repo, out, nucleus, merged(collected), chosen, progress)
        if nucleus is Nucleus.JAVA:
            given: dict[str, Sequence[str | Path] | None] = {"--python": python, "--arch": arch, "--extras": chosen}
            given["--wheels"] = [wheels] if wheels else []
            given["--out"] = [out] if out != Path() else []
            given["--repo"] = [repo] if repo != SOURCE_TREE else []
            write_record(repo, out, built, _options(offline, given))
    try:
        package = out / "build" / "lambda"
        stage_functions(repo, package)
        template = write_templates(repo, package.parent)
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}") from error
    command = deployment_command(nucleus, built.recipes, built.artifacts, built.versions)
    if as_json:
        found = {"nucleus": nucleus.value, "recipes": str(built.recipes), "artifacts": str(built.artifacts)}
        offline_rows = [_offline_row(one) for one in collected]
        more = {"components": summary(built), "offline": offline_rows, "deploy": command, "lambda": str(package)}
        more["template"] = str(template)
        print_json(found | more)
        return
    for row in summary(built):
        typer.echo(f"{row['name']} {row['version']}  {row['bytes']:>10,} B  {row['sha256'][:16]}  {row['artifact']}")
    for one in collected:
        for line in _offline_lines(one):
            typer.echo(line)
    typer.echo(f"packages of the Lambda functions: {package}")
    if not service_models.available():
        typer.echo(
            "  without reduced descriptions of AWS services, which let the functions start faster: install botocore"
        )
    typer.echo(f"deploy the cloud, with Python 3.12 for `sam build`:\n  cd {shlex.quote(str(template.parent))}")
    typer.echo("  sam build && sam deploy --guided")
    typer.echo(f"copy {built.recipes.parent} to the gateway and deploy there:\n  {command}")


def _options(offline: bool, values: Mapping[str, Sequence[str | Path] | None]) -> list[str]:
    """Return the options that repeat a build, none for one whose artifacts do not depend on options."""
    if not offline and not values["--extras"]:
        return []
    words = [word for option, given in values.items() for value in given or () for word in (option, str(value))]
    return [*(["--offline"] if offline else []), *words]


def _collect(
    repo: Path,
    folder: Path,
    python: list[str] | None,
    arch: list[str] | None,
    wheels: Path | None,
    extras: list[str],
    progress: Progress,
) -> list[Collected]:
    from edge_components.runtime.main import EXTRA
    from strandline.errors import CommandError
    from strandline.packaging.wheels import ARCHITECTURES, GLIBC, PipDownload, Target, collect_all

    versions, machines = _listed("--python", python, ("3.11", "3.13"), GLIBC), _listed("--arch", arch, ARCHITECTURES)
    fetch = PipDownload(folder, wheels, lambda line: None)
    try:
        required = (repo / "edge_components/runtime/requirements.txt").read_text()
        files = ["requirements-optional.txt", *(EXTRA.format(name) for name in extras)]
        optional = "".join((repo / "edge_components/runtime" / name).read_text() for name in files)
        targets = [Target(p, m) for p in versions for m in machines]
        return collect_all(targets, required, optional, fetch, progress)
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}") from error


def _listed(
    option: str, given: list[str] | None, default: tuple[str, ...], allowed: Iterable[str] | None = None
) -> list[str]:
    from strandline.errors import CommandError

    values = [value for text in given or default for value in split_list(text)]
    choices = list(default if allowed is None else allowed)
    for value in values:
        if value not in choices:
            raise CommandError(f"{option} {value!r}: allowed are {', '.join(choices)}")
    return list(dict.fromkeys(values))


def _offline_row(one: Collected) -> dict[str, object]:
    return {
        "python": one.target.python,
        "arch": one.target.machine,
        "wheels": sorted(one.wheels),
        "bytes": one.size,
        "missing": one.missing,
        "missing_optional": one.missing_optional,
    }


def _offline_lines(one: Collected) -> list[str]:
    lines = [f"{one.target}: {len(one.wheels)} wheels, {one.size:,} B"]
    if one.missing:
        lines.append(
            f"  no wheels for {', '.join(one.missing)}: install the distribution's packages on the board, or build "
            "them there and add them with --wheels; without them the components do not start (docs/gateway.md)"
        )
    if one.missing_optional:
        lines.append(
            f"  no wheels for {', '.join(one.missing_optional)}: the models and the sources that need them report it, "
            "and the rest runs"
        )
    return lines
