"""``strandline train``: a model of a group of channels from recorded tables, packed as a Greengrass component."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strandline.command_line_options import AsJson, split_list
from strandline.text import print_json

if TYPE_CHECKING:
    from strandline.training.train import Trained


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train_command)


def train_command(
    data: Annotated[Path, typer.Option(help="CSV file with a header, or a folder of them, one recording each.")],
    group: Annotated[str, typer.Option(help="Name of the group; the component is io.strandline.model.<Group>.")],
    time: Annotated[str, typer.Option(help="Column of the time, default: as for `detect`.")] = "",
    values: Annotated[
        str, typer.Option(help="Columns of the channels, comma-separated; default: all with numbers.")
    ] = "",
    units: Annotated[str, typer.Option(help="Units of the channels in the same order, comma-separated.")] = "",
    devices: Annotated[
        str,
        typer.Option(
            help="Glob of the devices that have these channels, with series <device>.<channel>; default: the group's "
            "name; '-' if the columns are complete series names."
        ),
    ] = "",
    kind: Annotated[
        str,
        typer.Option(
            help="autoencoder (reconstructs the last windows; the error shows inconsistent channels), forecaster "
            "(linear, predicts the next window), or convolutional (auto-encoder, made with TensorFlow)."
        ),
    ] = "autoencoder",
    window: Annotated[int, typer.Option(help="Number of consecutive windows in the model's input.")] = 8,
    window_ms: Annotated[
        int | None,
        typer.Option(
            help="Width of a window in milliseconds; must equal window_ms of the aggregator. Default: the interval of "
            "the rows."
        ),
    ] = None,
    bottleneck: Annotated[
        int | None,
        typer.Option(help="Size of an auto-encoder's narrowest layer; default: a quarter of its inputs, at most 16."),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Quantize weights and activations (made with TensorFlow).")] = (
        False
    ),
    version: Annotated[str, typer.Option(help="Version of the component; default: the next one in --out.")] = "",
    out: Annotated[Path, typer.Option(help="Folder for recipes/ and artifacts/, as of `strandline build`.")] = Path(
        "greengrass-build"
    ),
    seed: Annotated[int, typer.Option(help="Seed; the same seed and data give the same model.")] = 1,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Time range FROM..TO that is left out, such as a known fault; may be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train and pack a model of a group of channels.

    The model is packed as a Greengrass component. The oldest 70 % of the data are used for fitting, the next 10 % for
    early stopping, and the newest 20 % for the figures and for the initial calibration. Deploy the component beside
    the anomaly detector, which validates it in a child process and uses it without a restart. Needs the extra
    `train`, or `train-tensorflow` for convolutional and int8 models.
    """
    from strandline.errors import TrainingError
    from strandline.progress import ProgressLine
    from strandline.training.dataset import read_exclusion
    from strandline.training.train import Request, train

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", group):
        raise TrainingError(f"--group {group!r}: 1 to 64 letters, digits, dots, - and _ are allowed")
    if version and not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise TrainingError(f"--version {version!r}: three numbers as in 0.1.0 are allowed")
    request = Request(
        data=data,
        group=group,
        out=out,
        time=time,
        channels=split_list(values),
        units=split_list(units),
        devices=devices if devices not in ("", "-") else None,
        whole_names=devices == "-",
        kind=kind,
        window=window,
        window_ms=window_ms,
        bottleneck=bottleneck,
        int8=int8,
        version=version or None,
        seed=seed,
        exclude=tuple(read_exclusion(one) for one in exclude or []),
    )
    with ProgressLine(f"fitting {group}", "windows", quiet=as_json, at_most=True) as progress:
        trained = train(request, progress)
    if as_json:
        packed = trained.packed
        files = {"recipe": str(packed.recipe), "artifact": str(packed.artifact)}
        print_json({"name": packed.name, "version": packed.version, **files, "manifest": trained.manifest})
        return
    _print(trained, out)


def _print(trained: Trained, out: Path) -> None:
    from device_sim.greengrass.component_build import Nucleus
    from strandline.packaging.components import deployment_command

    manifest, packed, figures = trained.manifest, trained.packed, trained.manifest["metrics"]
    training = manifest["training"]
    size = f"{len(manifest['channels'])} channels, {manifest['window']} windows"
    typer.echo(f"{packed.name} {packed.version}: {manifest['kind']}, {size}")
    epochs = f", {training['epochs']} epochs" if training["epochs"] > 1 else ""
    span = f"{training['from']} to {training['to']}"
    typer.echo(f"{training['windows']} windows of {manifest['interval_ms']} ms, {span}{epochs}")
    typer.echo(
        f"results on the newest {figures['held_out_windows']} windows; errors in standard deviations of the channel:"
    )
    detected = f"detects shift of {figures['shift']:g}"
    typer.echo(f"  {'channel':<32}{'rms error':>10}{'alarm at':>10}{detected:>22}")
    for name, one in figures["channels"].items():
        typer.echo(f"  {name[:31]:<32}{one['rms_error']:>10.3f}{one['alarm_error']:>10.3f}{one['shifts_seen']:>22.0%}")
    typer.echo(f"wrote {packed.recipe} and {packed.artifact}")
    for nucleus, label in ((Nucleus.JAVA, "Java nucleus"), (Nucleus.LITE, "nucleus lite")):
        command = deployment_command(nucleus, out / "recipes", out / "artifacts", {packed.name: packed.version})
        typer.echo(f"deploy ({label}): {command}")
