"""``strandline source``: try sources and mappings without a gateway."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strandline.command_line_options import split_address

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
) -> None:
    """Connect a source, and print its readings and rejections."""
    from strandline.errors import CommandError
    from strandline.sources.trial import PrintingSink, entries

    found = [entry for entry in entries(_document(file)) if name in (None, entry.name)]
    if not found:
        raise CommandError(f"{file}: no entry {name or ''}")
    sink = PrintingSink(typer.echo)
    _run(found[0], sink, once=once, seconds=seconds)
    typer.echo(f"{sink.count} readings", err=True)
    if not sink.count:
        raise typer.Exit(1)


def source_try(
    payload: Annotated[str, typer.Option(help="File with the payload; - is standard input.")],
    topic: Annotated[str, typer.Option(help="Topic that the payload is published on.")],
    file: Annotated[Path | None, typer.Argument(help="JSON or YAML: an MQTT entry, or a configuration.")] = None,
    preset: Annotated[str | None, typer.Option(help="Preset in place of a file.")] = None,
) -> None:
    """Run a mapping on a payload without a connection, and print its readings and rejections."""
    from strandline.errors import CommandError
    from strandline.sources.trial import try_payload

    document: Any = _document(file) if file is not None else {"preset": preset} if preset else {}
    listed = document.get("sources") if isinstance(document, Mapping) else document
    entry = next((one for one in listed if one.get("kind", "mqtt") == "mqtt"), None) if listed else document
    if not isinstance(entry, Mapping):
        raise CommandError(f"{file}: no entry of the kind mqtt")
    try:
        content = sys.stdin.buffer.read() if payload == "-" else Path(payload).read_bytes()
    except OSError as error:
        raise CommandError(f"{payload}: {error.strerror}") from error
    if not try_payload(entry, topic, content, round(time.time() * 1000), typer.echo):
        raise typer.Exit(1)


def source_learn(
    broker: Annotated[str, typer.Argument(help="HOST:PORT of the broker.")],
    seconds: Annotated[float, typer.Option(min=0.1, help="Seconds for which payloads are collected.")] = 60.0,
    topics: Annotated[str, typer.Option(help="Topic filter to subscribe to.")] = "#",
) -> None:
    """Print a configuration for the topics of a broker, derived from one payload of each topic."""
    from strandline.sources.learn import entry, propose

    host, port = split_address(broker, "broker")
    proposals, unread = propose(_listen(host, port, topics, seconds))
    typer.echo(entry(host, port, proposals))
    for topic in unread:
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


def _listen(host: str, port: int, topics: str, seconds: float) -> dict[str, bytes]:
    """Return one payload of each topic published within a number of seconds."""
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    from strandline.errors import CommandError
    from strandline.sources.learn import MAX_TOPICS

    found: dict[str, bytes] = {}

    def keep(_client: object, _data: object, message: paho.MQTTMessage) -> None:
        if message.payload and (message.topic in found or len(found) < MAX_TOPICS):
            found[message.topic] = bytes(message.payload)

    def subscribe(client: paho.Client, *_: Any) -> None:
        client.subscribe(topics)

    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_message = keep
    client.on_connect = subscribe
    try:
        client.connect(host, port)
    except OSError as error:
        raise CommandError(f"{host}:{port}: {error}") from error
    client.loop_start()
    time.sleep(seconds)
    client.disconnect()
    client.loop_stop()
    return found
