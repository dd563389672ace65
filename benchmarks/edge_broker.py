"""A real mosquitto for the benchmark, configured as Debian ships it except for the limits that a figure names."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from benchmarks.edge_packets import connect_packet, subscribe_packet
from device_sim.chaos.packets import Framer, Kind
from device_sim.errors import BrokerError
from device_sim.simulation.sensor_broker import find_mosquitto, free_port

START_SECONDS = 10.0
STOP_SECONDS = 10.0
SUBSCRIBE_SECONDS = 60.0
SUBSCRIPTIONS = "$SYS/broker/subscriptions/count"
QUEUED_MESSAGES = 200_000


def configuration(port: int, folder: Path, in_flight: int | None) -> str:
    """Return a mosquitto.conf: persistent as Debian's, a queue that drops nothing, statistics every second.

    ``in_flight`` None leaves mosquitto's window of 20, or the one that an MQTT 5 client asks for.
    """
    window = "" if in_flight is None else f"max_inflight_messages {in_flight}\n"
    return (
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {folder}/\n"
        f"log_dest file {folder}/mosquitto.log\nuser root\n"
        f"max_queued_messages {QUEUED_MESSAGES}\nsys_interval 1\n{window}"
    )


def version() -> str:
    """Return the installed mosquitto's version; raises BrokerError when it is not installed."""
    program = _program()
    shown = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    found = re.match(r"mosquitto version (\S+)", shown)
    return str(found[1]) if found else "unknown"


class Mosquitto:
    """A running mosquitto on a free port of the loopback interface; a context manager that ends it."""

    def __init__(self, folder: Path, in_flight: int | None, strict: bool = False) -> None:
        """``strict`` keeps the window of a mosquitto that does not (see edge_window)."""
        self.port, self._folder, self._in_flight, self._strict = free_port(), folder, in_flight, strict
        self._window: subprocess.Popen[str] | None = None
        self._window_port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; 0 before the start."""
        return 0 if self._process is None else self._process.pid

    @property
    def reader_port(self) -> int:
        """The port for the subscriber that is measured: mosquitto's own, or that of the proxy that keeps its window."""
        return self._window_port or self.port

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / "mosquitto.conf"
        file.write_text(configuration(self.port, self._folder, self._in_flight))
        self._process = subprocess.Popen(  # noqa: S603 # our own arguments, no shell
            [_program(), "-c", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + START_SECONDS
        while not listens(self.pid, self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise BrokerError(f"mosquitto does not start; see {self._folder / 'mosquitto.log'}")
            time.sleep(0.05)
        if self._strict:
            self._start_window()
        return self

    def _start_window(self) -> None:
        arguments = ["--port", str(self.port), "--window", str(self._in_flight)]
        self._window = subprocess.Popen(  # noqa: S603 # our own program and arguments, no shell
            [sys.executable, "-m", "benchmarks.edge_window", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._window.stdout is not None  # noqa: S101 # given as a pipe
        self._window_port = int(self._window.stdout.readline())

    def wait_subscribed(self, seconds: float = SUBSCRIBE_SECONDS) -> None:
        """Wait until a client other than this one has subscribed; raises BrokerError after ``seconds``."""
        deadline, seen = time.monotonic() + seconds, 0
        while seen < 2:  # the first may be this client's own, which the broker counts while it is connected
            seen = seen + 1 if int(self._retained(SUBSCRIPTIONS)) else 0
            if time.monotonic() > deadline:
                raise BrokerError(f"no subscription at the broker on port {self.port} in {seconds:g} s")
            time.sleep(1.0)

    def _retained(self, topic: str) -> bytes:
        """Return the payload that the broker keeps for a topic."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=START_SECONDS) as connection:
            connection.sendall(connect_packet("bench-look") + subscribe_packet((topic,)))
            framer = Framer()
            while data := connection.recv(4_096):
                for packet in framer.feed(data):
                    if packet.kind is Kind.PUBLISH:
                        return packet.body[2 + len(topic) :]
        raise BrokerError(f"the broker on port {self.port} has no {topic}")

    def __exit__(self, *_: object) -> None:
        if self._window is not None:
            self._window.kill()
            self._window.communicate()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def listens(pid: int, port: int) -> bool:
    """Return whether something accepts connections on the port, and the process still runs."""
    if not Path(f"/proc/{pid}").exists():
        return False
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5):
            return True
    except OSError:
        return False


def _program() -> str:
    program = find_mosquitto()
    if program is None:
        raise BrokerError("mosquitto is not installed (Debian: apt-get install mosquitto)")
    return program
