"""``strandline erase``: remove a gateway, or one of its series, from the cloud."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from strandline.command_line_options import AsJson, EndpointUrl, Stack
from strandline.text import print_json

_POLL_S = 30.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("erase")(erase_command)


def erase_command(
    gateway: Annotated[str, typer.Option(help="Name of the gateway.")],
    series: Annotated[str | None, typer.Option(help="Erase this series of the gateway only.")] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Erase; without it the command counts what it would erase.")
    ] = False,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Wait for compactions that are under way (16 minutes at most), and check again."),
    ] = False,
    stack: Stack = "strandline",
    endpoint_url: EndpointUrl = None,
    as_json: AsJson = False,
) -> None:
    """Erase a gateway or a series from both tables and from the archive, whose files are rewritten.

    First stop the gateway (set its certificate to INACTIVE) or remove the series from its configuration: data that
    arrives later is stored again. The exit code is 1 if a compaction is writing a file that must be rewritten; run the
    command again. Backups of the tables, earlier versions of the files, logs and dead letters expire by themselves
    (docs/operations.md).
    """
    from cloud_functions.adapters.s3_archive import S3Archive
    from cloud_functions.clock import now_ms
    from cloud_functions.core.compaction import LEASE_MS
    from cloud_functions.core.erasure import Eraser, Target
    from cloud_functions.core.profiles import Profiles
    from strandline.account import open_account

    with open_account(stack, endpoint_url) as account:
        telemetry = account.telemetry()
        archive = S3Archive(account.outputs["ArchiveBucketName"], account.client("s3"))
        eraser = Eraser(
            Target(gateway, series),
            telemetry,
            account.alerts(),
            archive,
            Profiles(telemetry, now_ms).find,
            now_ms,
            dry=not yes,
        )
        eraser.erase_tables()
        busy = eraser.erase_archive()
        end_ms = now_ms() + LEASE_MS
        # A compaction that began before the tables were erased may write a file until its lease ends.
        while wait and yes and now_ms() < end_ms:
            time.sleep(_POLL_S)
            busy = eraser.erase_archive()
    counts = {name: number for name, number in eraser.counts.items() if number}
    if as_json:
        print_json({"erased": yes, "counts": counts, "busy": len(busy)})
    else:
        amounts = ", ".join(f"{number} {name}" for name, number in counts.items()) or "nothing"
        typer.echo(f"{'erased' if yes else 'to erase (--yes does it)'}: {amounts}")
        if busy:
            typer.echo(f"{len(busy)} files are being compacted; run the command again in 16 minutes", err=True)
    if busy:
        raise typer.Exit(1)
