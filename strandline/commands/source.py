"""``strandline source``: try sources and mappings without a gateway."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strandline.command_line_options import AsJson, ask_hidden, split_address
from strandline.text import print_json

if TYPE_CHECKING:
    from edge_components.sensor_reader.entries import Entry


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Try sources and mappings of the SensorReader without a gateway.", no_args_is_help=True)
    group.command("test")(source_test)
    group.command("try")(source_try)
    group.command("learn")(source_learn)
    app.add_typer(group, name="source")


def source_test(
    file: Annotated[Path, typer.Argument(help="JSON or YAML: a configuration, a list of entries, or one entry.")],
    name: Annotated[str | None, typer.Option(help="Entry to test; default: the first one.")] = None,
    once: Annotated[bool, typer.Option("--once", help="End after the first readings.")] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="Seconds to wait; exit code 1 without any reading.")] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Connect a source, and print its readings and rejections."""
    from strandline.errors import CommandError
    from strandline.sources.trial import CollectedReport, TextReport, TrialSink, entries

    found = [entry for entry in entries(_document(file)) if name in (None, entry.name)]
    if not found:
        raise CommandError(f"{file}: no entry {name or ''}")
    collected = CollectedReport()
    sink = TrialSink(collected if as_json else TextReport(typer.echo))
    _run(found[0], sink, once=once, seconds=seconds)
    if as_json:
        print_json({"source": found[0].name} | collected.to_dict())
    else:
        typer.echo(f"{sink.count} readings", err=True)
    if not sink.count:
        raise typer.Exit(1)


def source_try(
    payload: Annotated[str, typer.Option(help="File with the payload; - is standard input.")],
    topic: Annotated[str, typer.Option(help="Topic that the payload is published on.")],
    file: Annotated[Path | None, typer.Argument(help="JSON or YAML: an MQTT entry, or a configuration.")] = None,
    preset: Annotated[str | None, typer.Option(help="Preset in place of a file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run a mapping on a payload without a connection, and print its readings and rejections."""
    from strandline.errors import CommandError
    from strandline.sources.trial import CollectedReport, TextReport, try_payload

    document: Any = _document(file) if file is not None else {"preset": preset} if preset else {}
    listed = document.get("sources") if isinstance(document, Mapping) else document
    entry = next((one for one in listed if one.get("kind", "mqtt") == "mqtt"), None) if listed else document
    if not isinstance(entry, Mapping):
        raise CommandError(f"{file}: no entry of the kind mqtt")
    try:
        content = sys.stdin.buffer.read() if payload == "-" else Path(payload).read_bytes()
    except OSError as error:
        raise CommandError(f"{payload}: {error.strerror}") from error
    collected = CollectedReport()
    report = collected if as_json else TextReport(typer.echo)
    count = try_payload(entry, topic, content, round(time.time() * 1000), report)
    if as_json:
        print_json(collected.to_dict())
    if not count:
        raise typer.Exit(1)


def source_learn(
    broker: Annotated[str, typer.Argument(help="HOST:PORT of the broker.")],
    seconds: Annotated[float, typer.Option(min=0.1, help="Seconds for which payloads are collected.")] = 60.0,
    topics: Annotated[str, typer.Option(help="Topic filter to subscribe to.")] = "#",
    user: Annotated[str, typer.Option(help="User; the password is STRANDLINE_BROKER_PASSWORD, or prompted for.")] = "",
    tls: Annotated[bool, typer.Option("--tls", help="Connect with TLS; also with --ca and --cert.")] = False,
    ca: Annotated[Path | None, typer.Option(help="Certificates trusted to sign the broker's.")] = None,
    cert: Annotated[Path | None, typer.Option(help="The client's certificate.")] = None,
    key: Annotated[Path | None, typer.Option(help="The key of the client's certificate.")] = None,
    websocket: Annotated[bool, typer.Option("--websocket", help="Connect by WebSockets.")] = False,
    path: Annotated[str, typer.Option(help="Path of the WebSockets on the broker.")] = "/mqtt",
    as_json: AsJson = False,
) -> None:
    """Print a configuration for the topics of a broker, derived from one payload of each topic.

    The output is a configuration of the SensorReader; --json adds the topics that no payload format reads.
    """
    from strandline.sources.broker import connection_keys, listen, read_password
    from strandline.sources.learn import configuration, propose

    host, port = split_address(broker, "broker")
    files = {"ca_file": ca, "cert_file": cert, "key_file": key}
    given: dict[str, Any] = {name: str(file.absolute()) for name, file in files.items() if file is not None}
    given |= {"username": user, "tls": tls or ca is not None or cert is not None}
    given |= {"transport": "websockets", "path": path} if websocket else {}
    connection = connection_keys(host, port, given)
    password = read_password(ask_hidden) if user else None
    proposals, unread = propose(listen(connection, password, topics, seconds))
    proposed = configuration(connection, proposals)
    if as_json:
        print_json(proposed | {"unread": unread})
    else:
        typer.echo(json.dumps(proposed, indent=2))
    if password:
        typer.echo("password_file is not in the configuration: name a file with the password on the gateway", err=True)
    for topic in () if as_json else unread:
        typer.echo(f"not read: {topic}", err=True)
    if not proposals:
        raise typer.Exit(1)


def _document(file: Path) -> Any:
    import yaml

    from strandline.errors import CommandError

    try:
        return yaml.safe_load(file.read_text())
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CommandError(f"{file}: not JSON or YAML: {error}") from error


def _run(entry: Entry, sink: Any, *, once: bool, seconds: float) -> None:
    """Poll one source for a number of seconds, or until its first readings."""
    import logging
    import tempfile
    import threading

    from edge_components.common.health import Counters
    from edge_components.common.limited_log import RateLimitedLog
    from edge_components.common.ports import SystemClock
    from edge_components.sensor_reader.entries import kind_of
    from edge_components.sensor_reader.errors import SensorReaderError
    from edge_components.sensor_reader.source_log import SourceLog
    from edge_components.sensor_reader.sources import Context
    from strandline.errors import CommandError

    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    clock, woken = SystemClock(), threading.Event()
    log = SourceLog(entry.name, RateLimitedLog(Counters(), logging.getLogger("strandline"), clock))
    with tempfile.TemporaryDirectory(prefix="strandline-source-") as work:
        context = Context(entry.name, "trial", clock, log, woken.set, Path(work), lambda: 0.1)
        source = kind_of(entry.kind).open(entry.settings, context)
        try:
            source.start()
            end = clock.monotonic() + seconds
            while (left := end - clock.monotonic()) > 0 and not (once and sink.count):
                woken.wait(min(left, source.next_poll_s(), 0.2))
                woken.clear()
                source.poll(sink)
        except SensorReaderError as error:
            raise CommandError(f"{entry.name}: {error}") from error
        finally:
            source.close()
