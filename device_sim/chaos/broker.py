"""Sensor broker of a chaos run: mosquitto with persistence, whose saved messages survive kill -9.

mosquitto acknowledges a publication before it saves it, and saves once a second. The source therefore keeps
acknowledged readings until :meth:`PersistentBroker.saved_at` shows that they are on disk.
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
from device_sim.interrupts import uninterrupted
from device_sim.simulation.sensor_broker import HOST, find_mosquitto, free_port

START_SECONDS = 10.0
IN_FLIGHT = 200
"""Maximum unacknowledged publications per subscriber; the default of 20 would limit the rate of the whole run."""

DATABASE, LOG = "mosquitto.db", "mosquitto.log"


class PersistentBroker:
    """Mosquitto process that can be killed and restarted on the same port; a context manager.

    Raises UnprovableError when mosquitto is not installed, ChaosError when it does not start.
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
            # As root, mosquitto would switch to a user who cannot write here.
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
        """Start the broker with the saved messages."""
        with (self._folder / "output.log").open("ab") as output, uninterrupted():
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
        """Kill the broker with SIGKILL and return its process id."""
        process = self._process
        if process is None:
            raise ChaosError("the broker was never started")
        process.kill()
        process.wait()
        return process.pid

    def saved_at(self) -> float:
        """Return the wall time (seconds) of the last save, or 0 before the first."""
        try:
            return (self._folder / DATABASE).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def has_subscriber(self, pattern: str) -> bool:
        """Return whether a client has ever subscribed to ``pattern``: from then on the broker keeps messages for it."""
        log = self._folder / LOG
        return log.exists() and any(line.endswith(f" {pattern}") for line in log.read_text().splitlines())

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=0.5):
            return True
        return False
