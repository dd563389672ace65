"""The sensors' broker of a chaos run: mosquitto with persistence, which a kill -9 cannot rob of what it has saved.

mosquitto acknowledges a publication before it saves it, and saves once a second. So a source that can wait keeps what
was acknowledged until :meth:`PersistentBroker.saved_at` says that it is on disk.
"""

from __future__ import annotations

import contextlib
import getpass
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

from device_sim.chaos.errors import ChaosError, UnprovableError
from device_sim.simulation.sensor_broker import HOST, find_mosquitto, free_port

START_SECONDS = 10.0
IN_FLIGHT = 200
"""Publications that a subscriber may leave unacknowledged; the default of 20 would be the rate of the whole run."""

DATABASE, LOG = "mosquitto.db", "mosquitto.log"


class PersistentBroker:
    """A mosquitto that can be killed and started again on the same port; a context manager.

    Raises UnprovableError where mosquitto is not installed, ChaosError where it does not start.
    """

    def __init__(self, folder: Path) -> None:
        program = find_mosquitto()
        if program is None:
            raise UnprovableError("chaos needs mosquitto (Debian: apt-get install mosquitto), which is not installed")
        self.host, self.port = HOST, free_port()
        self._folder, self._program = folder, program
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "mosquitto.conf").write_text(
            f"listener {self.port} {HOST}\nallow_anonymous true\n"
            # As root it would become another user, who cannot write here.
            f"user {getpass.getuser()}\n"
            f"persistence true\npersistence_location {self._folder}/\nautosave_interval 1\n"
            f"max_queued_messages 0\nmax_inflight_messages {IN_FLIGHT}\n"
            f"log_dest file {self._folder / LOG}\n"
            "log_type error\nlog_type warning\nlog_type notice\nlog_type subscribe\n"
        )
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process is not None:
            process.terminate()
            try:
                process.wait(5.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self) -> None:
        """Start it, with what it had saved."""
        with (self._folder / "output.log").open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 # our own arguments, no shell
                [self._program, "-c", str(self._folder / "mosquitto.conf")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ChaosError(f"mosquitto does not answer on {HOST}:{self.port}; see {self._folder}")
            time.sleep(0.02)

    def kill(self) -> int:
        """Kill it with SIGKILL and return the process id that it had."""
        process = self._process
        if process is None:
            raise ChaosError("the broker was never started")
        process.kill()
        process.wait()
        return process.pid

    def saved_at(self) -> float:
        """Return the wall time (seconds) of the last save, 0 before the first."""
        try:
            return (self._folder / DATABASE).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def has_subscriber(self, pattern: str) -> bool:
        """Return whether someone has ever subscribed to ``pattern``: from then on the broker keeps what comes."""
        log = self._folder / LOG
        return log.exists() and any(line.endswith(f" {pattern}") for line in log.read_text().splitlines())

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=0.5):
            return True
        return False
