"""``strandline train``: a model of a group from recorded tables, packed as a Greengrass component."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from strandline.training.train import Trained


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train_command)


def train_command(
    data: Annotated[Path, typer.Option(help="A CSV file with a header, or a folder of them: one recording each.")],
    group: Annotated[str, typer.Option(help="The group's name; the component is io.strandline.model.<Group>.")],
    time: Annotated[
        str, typer.Option(help="The column with the time, as `detect` takes it; the first if not given.")
    ] = "",
    values: Annotated[
        str,
        typer.Option(help="The columns with the channels, separated by commas; all that hold numbers if not given."),
    ] = "",
    units: Annotated[str, typer.Option(help="The channels' units, in their order, separated by commas.")] = "",
    devices: Annotated[
        str,
        typer.Option(
            help="Glob of the devices that have these channels: series are called <device>.<channel>. "
            "The group's name if not given; '-' where the columns are whole names of series."
        ),
    ] = "",
    kind: Annotated[
        str,
        typer.Option(
            help="autoencoder (reconstructs the last windows; the error shows inconsistent channels), forecaster "
            "(linear, of the next window), or convolutional (an auto-encoder, made by TensorFlow)."
        ),
    ] = "autoencoder",
    window: Annotated[int, typer.Option(help="How many windows in a row the model looks at.")] = 8,
    window_ms: Annotated[
        int | None,
        typer.Option(
            help="Milliseconds of a window: the aggregator's window_ms, for the model scores no other. "
            "The rows' own interval if not given."
        ),
    ] = None,
    bottleneck: Annotated[
        int | None,
        typer.Option(
            help="Values of an auto-encoder's narrowest layer; a quarter of its inputs, at most 16, if not given."
        ),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Whole-integer weights and values (made by TensorFlow).")
    ] = False,
    version: Annotated[
        str, typer.Option(help="The component's version; the one after the newest in --out if not given.")
    ] = "",
    out: Annotated[
        Path, typer.Option(help="Where recipes/ and artifacts/ are: the folder that `strandline build` makes.")
    ] = Path("greengrass-build"),
    seed: Annotated[int, typer.Option(help="The same seed and data give the same model.")] = 1,
) -> None:
    """Train a model of channels that belong together, and pack it as a Greengrass component of its own.

    The oldest 70 % of the data are for fitting, the next 10 % for early stopping, and the newest 20 % for the figures
    and the calibration that is used until a device has its own. Deploy the component beside the anomaly detector: it
    is tried there in a child process, and scores without a restart. Dense and linear models need strandline's extra
    `train`, convolutional and int8 ones its extra `train-tensorflow`.
    """
    from strandline.errors import TrainingError
    from strandline.training.train import Wish, train

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", group):
        raise TrainingError(f"--group {group!r}: 1 to 64 letters, digits, dots, - and _ are allowed")
    if version and not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise TrainingError(f"--version {version!r}: three numbers as in 0.1.0 are allowed")
    wish = Wish(
        data=data,
        group=group,
        out=out,
        time=time,
        channels=_list(values),
        units=_list(units),
        devices=devices if devices not in ("", "-") else None,
        whole_names=devices == "-",
        kind=kind,
        window=window,
        window_ms=window_ms,
        bottleneck=bottleneck,
        int8=int8,
        version=version or None,
        seed=seed,
    )
    _tell(train(wish), out)


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _tell(trained: Trained, out: Path) -> None:
    from device_sim.greengrass.component_build import Nucleus
    from strandline.packaging.components import deployment_command

    manifest, packed, figures = trained.manifest, trained.packed, trained.manifest["metrics"]
    training = manifest["training"]
    what = f"{manifest['kind']} of {len(manifest['channels'])} channels, {manifest['window']} windows"
    typer.echo(f"{packed.name} {packed.version}: {what}")
    epochs = f", {training['epochs']} epochs" if training["epochs"] > 1 else ""
    span = f"{training['from']} to {training['to']}"
    typer.echo(f"{training['windows']} windows of {manifest['interval_ms']} ms, {span}{epochs}")
    typer.echo(f"on the newest {figures['held_out_windows']} windows, errors in a channel's usual spread:")
    seen = f"shifts of {figures['shift']:g} seen"
    typer.echo(f"  {'channel':<32}{'rms error':>10}{'alarm at':>10}{seen:>20}")
    for name, one in figures["channels"].items():
        typer.echo(f"  {name[:31]:<32}{one['rms_error']:>10.3f}{one['alarm_error']:>10.3f}{one['shifts_seen']:>20.0%}")
    typer.echo(f"wrote {packed.recipe} and {packed.artifact}")
    for nucleus, label in ((Nucleus.JAVA, "Java nucleus"), (Nucleus.LITE, "nucleus lite")):
        command = deployment_command(nucleus, out / "recipes", out / "artifacts", {packed.name: packed.version})
        typer.echo(f"deploy ({label}): {command}")
