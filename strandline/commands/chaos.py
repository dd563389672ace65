"""``strandline chaos``: fault injection with a proof that no reading was lost or counted twice."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from device_sim.cloud_kind import CloudKind
from device_sim.greengrass.component_build import Nucleus
from strandline.command_line_options import AsJson, ResultFile
from strandline.text import print_json

FOLDER = Path(".strandline")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("chaos")(chaos_command)


def chaos_command(
    minutes: Annotated[
        float, typer.Option(min=0.25, help="Minutes of fault injection, without start and drain.")
    ] = 2.0,
    seed: Annotated[int, typer.Option(help="Seed of the schedule of faults.")] = 1,
    faults: Annotated[int | None, typer.Option(min=1, help="Number of faults; default: one every 2.3 s.")] = None,
    profile: Annotated[
        Nucleus, typer.Option(help="Greengrass nucleus that the local nucleus emulates.")
    ] = Nucleus.JAVA,
    drain: Annotated[
        float, typer.Option(min=20, help="Maximum time in seconds for the cloud to receive everything at the end.")
    ] = 180.0,
    only: Annotated[
        list[str] | None, typer.Option(help="Inject only faults whose name contains this text; can be repeated.")
    ] = None,
    cloud: Annotated[CloudKind, typer.Option(help="Cloud whose functions receive the batches.")] = CloudKind.AWS,
    keep: Annotated[bool, typer.Option(help="Keep the folder with logs and spool after a successful run.")] = False,
    as_json: AsJson = False,
    file: ResultFile = None,
) -> None:
    """Inject faults and prove that no data is lost.

    Runs a gateway and a local cloud. The exit code is 0 only if no reading was lost or counted twice.
    With --json, the result is one object on standard output, and the log goes to standard error; --json FILE
    writes the object to a file. The number of ended faults and of stored readings, with rate and time left, goes to
    standard error, without --json.
    """
    from rich.console import Console

    from device_sim.aws.errors import CloudSimError
    from device_sim.chaos.report import show
    from device_sim.chaos.runner import Options, make_root, run
    from device_sim.chaos.schedule import kinds_of
    from device_sim.errors import SimulationError
    from device_sim.greengrass.errors import NucleusError
    from device_sim.interrupts import InterruptedRunError, Interrupts
    from strandline.packaging.components import build_here
    from strandline.progress import ProgressLine

    if file is not None and not as_json:
        raise typer.BadParameter("a file for the result needs --json", param_hint="FILE")
    console = Console(stderr=as_json and file is None)
    root = make_root(FOLDER)
    code = 1
    with Interrupts() as interrupts:
        try:
            kinds = kinds_of(only or (), profile, cloud)
            options = Options(minutes * 60, seed, faults, drain_s=drain, kinds=kinds, profile=profile, cloud=cloud)
            with ProgressLine("faults", "faults", quiet=as_json) as progress:
                report = run(options, root, console, build_here, interrupts.hold, progress)
            show(report, console)
            if as_json:
                print_json(report.to_dict(), file)
            code = 0 if report.holds else 1
        except InterruptedRunError as error:
            code = error.exit_code
            console.print(f"stopped by {error}; all processes have ended", highlight=False)
        except (SimulationError, CloudSimError, NucleusError) as error:
            console.print(f"the run failed: {error}", style="bold red", highlight=False, markup=False, soft_wrap=True)
    if code == 0 and not keep:
        shutil.rmtree(root, ignore_errors=True)
    else:
        console.print(f"logs: {root}", highlight=False, soft_wrap=True)
    raise typer.Exit(code)
