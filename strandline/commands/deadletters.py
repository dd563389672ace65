"""``strandline deadletters``: what the cloud could not take, why, and its way back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cloud_functions.core.deadletters import Content, ReceivedLetter, Review
    from strandline.account import Account

Stack = Annotated[str, typer.Option(help="The CloudFormation stack.")]
Endpoint = Annotated[str | None, typer.Option(help="A local cloud's; also AWS_ENDPOINT_URL.")]
_ALL = 10_000
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    letters = typer.Typer(no_args_is_help=True, help="List, show and redrive what the cloud could not take.")
    letters.command("list")(list_command)
    letters.command("show")(show_command)
    letters.command("redrive")(redrive_command)
    app.add_typer(letters, name="deadletters")


def list_command(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="About the maximum number of letters.")] = 1_000,
    stack: Stack = "strandline",
    endpoint_url: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """List the dead letters, the oldest first.

    SQS cannot be looked at without taking: while this runs the letters are hidden from others, for 30 seconds at most
    should it be killed. They keep their age, and what expires them is their queue's retention (14 days).
    """
    from cloud_functions.core.deadletters import counted
    from strandline import batches

    with _review(stack, endpoint_url) as (_, review):
        more = review.collect(limit)
        rows = [_row(held) for held in review.letters]
        reasons = counted(_read(held) for held in review.letters)
    if as_json:
        typer.echo(json.dumps({"letters": rows, "more": more}))
        return
    if rows:
        batches.print_table([_short(row) for row in rows], ("id", "time", "queue", "reason", "gateway", "detail"))
    told = ", ".join(f"{number} {reason}" for reason, number in reasons.items())
    typer.echo(f"{len(rows)} dead letters" + (f": {told}" if told else ""), err=True)
    if more:
        typer.echo("more wait: --limit", err=True)


def show_command(
    letter: Annotated[str, typer.Argument(metavar="ID", help="The letter's id, or its beginning.")],
    rows: Annotated[int, typer.Option(min=0, help="Maximum number of rows, or of lines of bytes; 0 shows all.")] = 40,
    stack: Stack = "strandline",
    endpoint_url: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Show one letter: the rows of its batch, or its bytes and the decoding error."""
    from cloud_functions.core.deadletters import payload
    from strandline import batches
    from wire.codec import decode
    from wire.errors import WireError

    with _review(stack, endpoint_url) as (_, review):
        review.collect(_ALL)
        held = _one(review, letter)
    content, shown = _read(held), _row(held)
    problem = content.problem
    lines: list[str] = []
    table: list[dict[str, Any]] | None = None
    if content.data is not None:
        try:
            batch = decode(content.data)
            shown |= {"batch": batches.head(batch, len(content.data))}
            table = batches.table(batch)
        except WireError as error:
            problem = f"{type(error).__name__}: {error}"
    if table is None:
        lines = list(batches.hex_dump(payload(held.letter, content)))
    left_out = max(0, len(table if table is not None else lines) - rows) if rows else 0
    table, lines = (table and table[: rows or None]), lines[: rows or None]
    if as_json:
        typer.echo(json.dumps(shown | {"problem": problem, "rows": table, "bytes_shown": lines}, allow_nan=False))
        return
    batch_head = shown.pop("batch", {})
    for name, value in shown.items():
        typer.echo(f"{name:<12} {'-' if value in (None, '') else value}")
    if table is not None:
        typer.echo("  ".join(f"{key} {value}" for key, value in batch_head.items()))
        batches.print_table(table)
    else:
        typer.echo(f"{'no batch':<12} {problem}")
        for line in lines:
            typer.echo(line)
    if left_out:
        typer.echo(f"... {left_out} more {'lines' if table is None else 'rows'} (--rows 0 shows all)")


def redrive_command(
    letters: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids, or their beginnings.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that wait now.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="With --all: about the maximum number.")] = 1_000,
    stack: Stack = "strandline",
    endpoint_url: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Send dead letters back to the queues they came from; exit code 1 when one of them could not be.

    A letter is deleted only when its queue has it. Interrupted in between it is in both, which is harmless: a batch is
    stored once however often it comes. What is rejected again becomes a new dead letter. What alerting gave up on is
    read from the table's stream, which has it for 24 hours, and given to alerting again.
    """
    from device_sim.aws import dead_letters as queues

    if bool(letters) == every:
        raise typer.BadParameter("name letters by their ids, or --all")
    with _review(stack, endpoint_url, queues.REDRIVE_HIDE_S) as (account, review):
        more = review.collect(_ALL if letters else limit)
        if letters:
            chosen = {held.letter.id: held for held in (_one(review, letter) for letter in letters)}
        else:
            chosen = {held.letter.id: held for held in review.letters}
        outcomes = []
        for held in chosen.values():
            outcome = review.redrive(held, queues.queues(account), queues.sender(account), queues.replay(account))
            outcomes.append({"id": held.letter.id, "sent": outcome.sent, "problem": outcome.problem})
            if not as_json:
                typer.echo(f"{held.letter.id}  {outcome.problem or 'sent back'}", err=bool(outcome.problem))
    failed = [outcome for outcome in outcomes if outcome["problem"]]
    if as_json:
        typer.echo(json.dumps(outcomes))
    else:
        typer.echo(f"{len(outcomes) - len(failed)} of {len(outcomes)} sent back", err=True)
        if every and more:
            typer.echo("more wait: run it again", err=True)
    if failed:
        raise typer.Exit(1)


@contextmanager
def _review(stack: str, endpoint_url: str | None, hide_s: int | None = None) -> Iterator[tuple[Account, Review]]:
    """Reach the stack; what AWS refuses leaves as an AccountError."""
    from cloud_functions.core.errors import StoreError
    from device_sim.aws import dead_letters as queues
    from strandline.account import Account
    from strandline.errors import AccountError

    account = Account(stack, endpoint_url)
    try:
        review = queues.review(account, hide_s or queues.HIDE_S)
        queues.queues(account)
    except KeyError as error:
        raise AccountError(f"stack {stack}: it has no output {error}") from error
    try:
        with review:
            yield account, review
    except StoreError as error:
        raise AccountError(f"stack {stack}: {error}") from error


def _one(review: Review, beginning: str) -> ReceivedLetter:
    from strandline.errors import CommandError

    found = review.find(beginning)
    if len(found) != 1:
        raise CommandError(f"{len(found)} dead letters have an id that begins with {beginning!r}")
    return found[0]


def _read(held: ReceivedLetter) -> Content:
    from cloud_functions.core.deadletters import read

    return read(held.box, held.letter)


def _row(held: ReceivedLetter) -> dict[str, Any]:
    from cloud_functions.core.deadletters import payload

    letter, content = held.letter, _read(held)
    return {
        "id": letter.id,
        "time_ms": letter.sent_ms,
        "queue": str(held.box),
        "reason": content.reason,
        "gateway": content.gateway,
        "bytes": len(payload(letter, content)),
        "detail": content.detail,
        "topic": content.topic,
        "client": content.client,
        "received_ms": content.received_ms,
    }


def _short(row: dict[str, Any]) -> dict[str, Any]:
    moment = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(row["time_ms"] / 1000))
    wanted = ("queue", "reason", "gateway", "bytes", "detail")
    return {"id": row["id"][:8], "time": moment} | {name: row[name] or "-" for name in wanted}
