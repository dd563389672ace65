"""``strandline rules`` and ``strandline silences``: list, show, store and delete; dry runs of rules."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from strandline.api.access import Token, Url, open_client
from strandline.command_line_options import AsJson, EndpointUrl, Stack
from strandline.errors import CommandError, reason
from strandline.text import print_json, print_table, utc

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
Name = Annotated[str, typer.Argument(help="Name of the document.")]
File = Annotated[Path, typer.Argument(help="JSON file; - for standard input.")]
Version = Annotated[int | None, typer.Option(help="Version that the document must have.")]


def register(app: typer.Typer) -> None:
    """Add both groups."""
    rules = _group("rules", "Rules of alerts over stored series.")
    rules.command("dry-run")(dry_run_command)
    app.add_typer(rules, name="rules")
    silences = _group("silences", "Periods without notifications.")
    silences.command("add")(add_silence_command)
    app.add_typer(silences, name="silences")


def _group(kind: str, help_text: str) -> typer.Typer:
    group = typer.Typer(help=help_text, invoke_without_command=True)

    @group.callback()
    def list_documents(
        context: typer.Context,
        stack: Stack = "strandline",
        endpoint_url: EndpointUrl = None,
        url: Url = None,
        token: Token = None,
        as_json: AsJson = False,
    ) -> None:
        """List the documents."""
        if context.invoked_subcommand is not None:
            return
        found = list(open_client(stack, endpoint_url, url, token).documents(kind))
        if as_json:
            print_json(found)
            return
        if found:
            print_table([row(kind, one) for one in found], ("name", "gateways", "series", "condition", "until", "by"))
        typer.echo(f"{len(found)} {kind}", err=True)

    @group.command("show")
    def show(
        name: Name,
        stack: Stack = "strandline",
        endpoint_url: EndpointUrl = None,
        url: Url = None,
        token: Token = None,
        as_json: AsJson = False,
    ) -> None:
        """Print one as JSON, indented without --json."""
        _print(open_client(stack, endpoint_url, url, token).document(kind, name), as_json)

    @group.command("put")
    def put(
        name: Name,
        file: File,
        version: Version = None,
        stack: Stack = "strandline",
        endpoint_url: EndpointUrl = None,
        url: Url = None,
        token: Token = None,
        as_json: AsJson = False,
    ) -> None:
        """Create or replace one from a JSON file, and print it."""
        client = open_client(stack, endpoint_url, url, token)
        _print(client.put_document(kind, name, read_object(file), version), as_json)

    @group.command("delete")
    def delete(
        name: Name,
        version: Version = None,
        stack: Stack = "strandline",
        endpoint_url: EndpointUrl = None,
        url: Url = None,
        token: Token = None,
        as_json: AsJson = False,
    ) -> None:
        """Delete one."""
        open_client(stack, endpoint_url, url, token).delete_document(kind, name, version)
        if as_json:
            print_json({"deleted": name})
        else:
            typer.echo(f"deleted {name}", err=True)

    return group


def dry_run_command(
    file: File,
    days: Annotated[float, typer.Option(min=0.001, max=31, help="Days before now to evaluate.")] = 7.0,
    stack: Stack = "strandline",
    endpoint_url: EndpointUrl = None,
    url: Url = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Print when a rule would have fired over stored rows."""
    now_ms = time.time_ns() // 1_000_000
    client = open_client(stack, endpoint_url, url, token)
    answer = client.dry_run(read_object(file), now_ms - round(days * DAY_MS), now_ms)
    if as_json:
        print_json(answer)
        return
    for firing in answer["firings"]:
        times = f"{utc(firing['from_ms'])} to {utc(firing['to_ms'])}"
        typer.echo(f"{times}  {firing['gateway']}  {firing['series']}  peak {firing['peak']:.6g}")
    typer.echo(f"{answer['count']} times in {days:g} days, over {answer['series_evaluated']} series", err=True)


def add_silence_command(
    name: Name,
    hours: Annotated[float, typer.Option(min=0.01, help="Length from now on.")] = 1.0,
    gateways: Annotated[str, typer.Option(help="Pattern of gateways.")] = "*",
    series: Annotated[str, typer.Option(help="Pattern of series.")] = "*",
    comment: Annotated[str, typer.Option(help="Reason.")] = "",
    stack: Stack = "strandline",
    endpoint_url: EndpointUrl = None,
    url: Url = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Silence alerts from now on for some hours."""
    now_ms = time.time_ns() // 1_000_000
    body: dict[str, Any] = {"gateways": gateways, "series": series, "comment": comment}
    body |= {"from": now_ms, "to": now_ms + round(hours * HOUR_MS)}
    client = open_client(stack, endpoint_url, url, token)
    _print(client.put_document("silences", name, body, create_only=True), as_json)


def _print(document: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        typer.echo(json.dumps(document, indent=1))


def read_object(file: Path) -> dict[str, Any]:
    """Return the JSON object of a file; raises CommandError for another content."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
        value = json.loads(text)
    except (OSError, ValueError) as error:
        raise CommandError(f"{file}: {reason(error)}") from error
    if not isinstance(value, dict):
        raise CommandError(f"{file}: a JSON object is expected, not {type(value).__name__}")
    return value


def row(kind: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document as a row of the list."""
    shown = {name: document.get(name) for name in ("name", "gateways", "series")}
    if kind == "rules":
        condition = document.get("condition", {})
        shown["condition"] = " ".join(f"{name}={value}" for name, value in condition.items() if name != "type")
        shown |= {"type": condition.get("type"), "severity": document.get("severity")}
        shown["enabled"] = "yes" if document.get("enabled") else "no"
    else:
        shown |= {"until": utc(int(document.get("to") or 0)), "by": document.get("author")}
    return shown | {"version": document.get("version")}
