"""``strandline deadletters``: messages that the cloud could not process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strandline.command_line_options import AsJson, EndpointUrl, Stack
from strandline.text import hex_dump, print_json, print_table, utc

if TYPE_CHECKING:
    from cloud_functions.core.deadletters import Content, ReceivedLetter, Review
    from strandline.account import Account

_ALL = 10_000


def register(app: typer.Typer) -> None:
    """Add the command."""
    letters = typer.Typer(no_args_is_help=True, help="List, show and redrive dead letters.")
    letters.command("list")(list_command)
    letters.command("show")(show_command)
    letters.command("redrive")(redrive_command)
    app.add_typer(letters, name="deadletters")


def list_command(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Approximate maximum number of letters.")] = 1_000,
    stack: Stack = "strandline",
    endpoint_url: EndpointUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the dead letters, oldest first.

    SQS can be read only by receiving: while this command runs the letters are hidden from other readers, for 30
    seconds at most if it is killed. Their age and expiry (14 days) do not change.
    """
    from cloud_functions.core.deadletters import counted

    with _review(stack, endpoint_url) as (_, review):
        more = review.collect(limit)
        rows = [_row(held) for held in review.letters]
        reasons = counted(_read(held) for held in review.letters)
    if as_json:
        print_json({"letters": rows, "more": more})
        return
    if rows:
        print_table([_short(row) for row in rows], ("id", "time", "queue", "reason", "gateway", "detail"))
    summary = ", ".join(f"{number} {reason}" for reason, number in reasons.items())
    typer.echo(f"{len(rows)} dead letters" + (f": {summary}" if summary else ""), err=True)
    if more:
        typer.echo("there are more; raise --limit", err=True)


def show_command(
    letter: Annotated[str, typer.Argument(metavar="ID", help="Id of the letter, or the beginning of it.")],
    rows: Annotated[int, typer.Option(min=0, help="Maximum number of rows or lines; 0 shows all.")] = 40,
    stack: Stack = "strandline",
    endpoint_url: EndpointUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show a dead letter: the rows of its batch, or its bytes and the decoding error."""
    from cloud_functions.core.deadletters import payload
    from strandline.batch_content import batch_rows, header
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
            shown |= {"batch": header(batch, len(content.data))}
            table = batch_rows(batch)
        except WireError as error:
            problem = f"{type(error).__name__}: {error}"
    if table is None:
        lines = list(hex_dump(payload(held.letter, content)))
    left_out = max(0, len(table if table is not None else lines) - rows) if rows else 0
    table, lines = (table and table[: rows or None]), lines[: rows or None]
    if as_json:
        print_json(shown | {"problem": problem, "rows": table, "bytes_shown": lines})
        return
    batch_head = shown.pop("batch", {})
    for name, value in shown.items():
        typer.echo(f"{name:<12} {'-' if value in (None, '') else value}")
    if table is not None:
        typer.echo("  ".join(f"{key} {value}" for key, value in batch_head.items()))
        print_table(table)
    else:
        typer.echo(f"{'not a batch':<12} {problem}")
        for line in lines:
            typer.echo(line)
    if left_out:
        typer.echo(f"... {left_out} more {'lines' if table is None else 'rows'} (--rows 0 shows all)")


def redrive_command(
    letters: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of letters, or the beginnings of them.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Redrive all dead letters.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="With --all: approximate maximum number.")] = 1_000,
    stack: Stack = "strandline",
    endpoint_url: EndpointUrl = None,
    as_json: AsJson = False,
) -> None:
    """Send dead letters back to their source queues.

    The exit code is 1 if one of them could not be sent. A letter is deleted after its queue has accepted it. After an
    interruption it may be in both queues, which is harmless: a batch is stored once, even if it arrives twice. A
    batch that is rejected again becomes a new dead letter. Records on which alerting failed are read from the table's
    stream, which keeps them for 24 hours, and alerting is invoked with them again. A delivery to a
    channel is made again; its receiver can get it twice.
    """
    from strandline import dead_letters as queues

    if bool(letters) == every:
        raise typer.BadParameter("ids of letters, or --all, are required")
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
                typer.echo(f"{held.letter.id}  {outcome.problem or 'redriven'}", err=bool(outcome.problem))
    failed = [outcome for outcome in outcomes if outcome["problem"]]
    if as_json:
        print_json(outcomes)
    else:
        typer.echo(f"{len(outcomes) - len(failed)} of {len(outcomes)} redriven", err=True)
        if every and more:
            typer.echo("there are more; run the command again", err=True)
    if failed:
        raise typer.Exit(1)


@contextmanager
def _review(stack: str, endpoint_url: str | None, hide_s: int | None = None) -> Iterator[tuple[Account, Review]]:
    """Open the dead-letter queues of a stack; AWS errors become an AccountError."""
    from strandline import dead_letters as queues
    from strandline.account import open_account

    with open_account(stack, endpoint_url) as account:
        queues.queues(account)  # a stack without these outputs is rejected before any letter is received
        with queues.review(account, hide_s or queues.HIDE_S) as review:
            yield account, review


def _one(review: Review, beginning: str) -> ReceivedLetter:
    from strandline.errors import CommandError

    found = review.find(beginning)
    if len(found) != 1:
        raise CommandError(f"{len(found)} dead letters have an id that begins with {beginning!r}")
    return found[0]


def _read(held: ReceivedLetter) -> Content:
    from cloud_functions.core.deadletters import read

    return read(held.letter)


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
    columns = ("queue", "reason", "gateway", "bytes", "detail")
    return {"id": row["id"][:8], "time": utc(row["time_ms"])} | {name: row[name] or "-" for name in columns}
