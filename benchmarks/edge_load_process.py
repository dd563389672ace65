"""The load generator as a child process, and what it has reported so far."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.edge_packets import HISTORY_READINGS, LoadError
from benchmarks.edge_shapes import SHAPES

POLL_SECONDS = 0.1
END_SECONDS = 60.0
FOREVER_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Load:
    """Load to send: ``rate`` messages a second (0: as fast as the consumer takes them) over ``series`` series.

    ``shape`` is the name of one in edge_shapes.py; a message of the shape ``single`` is a reading.

    Before that, ``history`` windows of past readings, so that detectors are calibrated. With rate 0 the broker holds
    ``backlog`` messages at least, more than the in-flight window.
    """

    series: int
    rate: float
    history: int = 0
    window_ms: int = 10_000
    backlog: int = 200
    shape: str = "single"

    @property
    def past(self) -> int:
        """Number of past messages that are sent first."""
        return self.history * HISTORY_READINGS * self.messages

    @property
    def messages(self) -> int:
        """Number of messages in which every series has its turn."""
        return self.series // SHAPES[self.shape].series

    @property
    def readings(self) -> int:
        """Number of readings in a message."""
        return SHAPES[self.shape].readings

    @property
    def first_readings(self) -> int:
        """Number of readings that are sent before all messages: those in the births of Sparkplug devices."""
        return self.series if self.shape == "sparkplug" else 0

    @property
    def names(self) -> list[str]:
        """Names that the gateway gives the series."""
        return SHAPES[self.shape].names(self.messages)

    @property
    def source(self) -> Mapping[str, Any]:
        """Keys of the sensor reader's source, besides those of the broker."""
        return SHAPES[self.shape].source


@dataclass(frozen=True, slots=True)
class Counts:
    """One report: monotonic seconds, and messages in all; ``backlog`` is what the broker holds."""

    at: float = 0.0
    sent: int = 0
    accepted: int = 0
    backlog: int = 0
    dropped: int = 0

    @property
    def consumed(self) -> int:
        """Messages that the consumer has acknowledged."""
        return self.accepted - self.backlog


class LoadProcess:
    """A running generator; a context manager that ends it."""

    def __init__(self, load: Load, port: int, errors: Path) -> None:
        self.load = load
        self._errors = errors
        self._reports: list[Counts] = []
        self.last: dict[str, Any] = {}
        arguments = ["--port", str(port), "--series", str(load.series), "--rate", str(load.rate)]
        arguments += ["--seconds", str(FOREVER_SECONDS), "--history", str(load.history)]
        arguments += ["--window-ms", str(load.window_ms), "--backlog", str(load.backlog), "--shape", load.shape]
        with errors.open("w") as stream:
            self._process = subprocess.Popen(  # noqa: S603 # our own program and arguments, no shell
                [sys.executable, "-m", "benchmarks.edge_load", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
            )
        self._thread = threading.Thread(target=self._read, name="load reports", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def counts(self) -> Counts:
        """The newest report."""
        return self._reports[-1] if self._reports else Counts()

    @property
    def reports(self) -> list[Counts]:
        """Every report so far, one a second."""
        return list(self._reports)

    def wait(self, condition: Callable[[Counts], bool], seconds: float, what: str) -> Counts:
        """Wait until a report fulfils the condition and return it; raises LoadError after ``seconds``."""
        deadline = time.monotonic() + seconds
        while not condition(self.counts):
            if self._process.poll() is not None:
                raise LoadError(f"the load generator ended: {self._errors.read_text().strip()}")
            if time.monotonic() > deadline:
                raise LoadError(f"{what}: not reached after {seconds:g} s, {self.counts}")
            time.sleep(POLL_SECONDS)
        return self.counts

    def check(self) -> None:
        """Raise LoadError when the generator has ended by itself."""
        if self._process.poll() is not None:
            raise LoadError(f"the load generator ended: {self._errors.read_text().strip()}")

    def finish(self) -> Counts:
        """End the load and return its last report; raises LoadError when the broker did not accept all of it."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise LoadError(f"the load generator does not end in {END_SECONDS:g} s") from None
        self._thread.join(END_SECONDS)
        if code or not self.last.get("done"):
            raise LoadError(f"the load generator failed: {self._errors.read_text().strip()}")
        return self.counts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 # given as a pipe
        for line in self._process.stdout:
            self.last = json.loads(line)
            fields = {name: self.last[name] for name in Counts.__dataclass_fields__}
            self._reports.append(Counts(**fields))
