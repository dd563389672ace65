"""Readings from a serial line: lines of text, with a pattern or in a payload format, through pyserial."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_components.common.config import absolute_path, integer, text
from edge_components.common.errors import ConfigError
from edge_components.sensor_reader.errors import MissingPackageError, SourceError
from edge_components.sensor_reader.mapping.bindings import Binding
from edge_components.sensor_reader.mapping.decoder import Decoder
from edge_components.sensor_reader.mapping.entry import read_with_mapping
from edge_components.sensor_reader.source_thread import Outlet, ThreadSource
from edge_components.sensor_reader.sources import Context, Kind, Level

MAX_LINE_BYTES = 4_096
_READ_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class SerialSettings:
    """One line. The keys of the mapping apply to each line of text."""

    device: str = absolute_path("the serial line")
    baudrate: int = integer(9_600, 300, 4_000_000, "bits a second")
    parity: str = text("N", "parity: none, even, odd", choices=("N", "E", "O"))
    bytesize: int = integer(8, 7, 8, "bits of a character")
    stopbits: int = integer(1, 1, 2, "stop bits")
    pattern: str = text(
        "", "regular expression with named groups, which are the fields; a line that it does not match is rejected"
    )

    def __post_init__(self) -> None:
        problems = [] if self.device else ["device: '' is not allowed, expected an absolute path"]
        try:
            if self.pattern and not re.compile(self.pattern).groupindex:
                problems.append(f"pattern: {self.pattern!r} is not allowed, expected a group (?P<name>...)")
        except re.error as error:
            problems.append(f"pattern: {self.pattern!r} is not allowed: {error}")
        if problems:
            raise ConfigError(problems)


@dataclass(frozen=True, slots=True)
class SerialEntry:
    """A line, and the mapping of its text."""

    settings: SerialSettings
    binding: Binding


class SerialWorker:
    """Reads one line; see edge_components.sensor_reader.source_thread.Worker."""

    def __init__(self, settings: SerialSettings) -> None:
        self._settings = settings
        self._pattern = re.compile(settings.pattern) if settings.pattern else None

    def work(self, outlet: Outlet) -> None:
        """Pass lines until stopped; raises SourceError if the device does not exist."""
        try:
            import serial
        except ImportError as error:
            raise MissingPackageError("pyserial", "serial", error) from error
        settings = self._settings
        try:
            with serial.Serial(
                settings.device,
                settings.baudrate,
                bytesize=settings.bytesize,
                parity=settings.parity,
                stopbits=settings.stopbits,
                timeout=_READ_SECONDS,
            ) as line:
                outlet.works()
                self._lines(line, outlet)
        except (OSError, ValueError) as error:
            raise SourceError(f"{settings.device}: {error}") from error

    def _lines(self, line: Any, outlet: Outlet) -> None:
        rest = b""
        while not outlet.stopping:
            rest += line.read(max(1, line.in_waiting))
            outlet.works()
            *complete, rest = rest.split(b"\n")
            if len(rest) > MAX_LINE_BYTES:
                outlet.reject("rejected_size", f"a line above {MAX_LINE_BYTES} bytes")
                rest = b""
            payloads = [found for one in complete if one.strip() and (found := self._payload(one, outlet)) is not None]
            if payloads:
                outlet.put(payloads)

    def _payload(self, line: bytes, outlet: Outlet) -> bytes | None:
        """Return the payload of a line: the fields of the pattern as JSON, or the line as it is."""
        if self._pattern is None:
            return line
        found = self._pattern.search(line.decode(errors="replace").strip())
        if found is None:
            outlet.reject("rejected_line", f"does not match the pattern: {line[:80]!r}")
            return None
        return json.dumps({name: value for name, value in found.groupdict().items() if value is not None}).encode()


def read_serial(values: Mapping[str, Any]) -> SerialEntry:
    """Return the settings of an entry; raises ConfigError."""
    pattern = values.get("pattern")
    fields: list[str] = []
    if isinstance(pattern, str) and pattern:
        try:
            fields = [name for name in re.compile(pattern).groupindex if name not in ("time", "quality", "unit")]
        except re.error:
            fields = []
    defaults = {"value": fields or ["value"], "series": "{source}.{field}"} if pattern else {"format": "plain"}
    return SerialEntry(*read_with_mapping(SerialSettings, values, defaults))


def open_serial(entry: SerialEntry, context: Context) -> ThreadSource:
    """Return the source of one line."""
    worker = SerialWorker(entry.settings)
    return ThreadSource(context, lambda: worker, decoder=Decoder(entry.binding))


def _line(entry: SerialEntry) -> str | None:
    return f"the serial line {entry.settings.device}"


KIND = Kind(
    SerialSettings,
    open_serial,
    read_serial,
    _line,
    level=Level.SILVER,
    inapplicable={"secure": "a line on the gateway itself", "hangs": "a line that sends nothing is not a fault"},
)
