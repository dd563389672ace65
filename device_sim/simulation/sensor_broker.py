"""MQTT broker between simulated sensors and sensor reader: embedded (iotcore) or mosquitto.

It listens on the loopback interface only and runs in a separate process that ends with the context manager. The
embedded broker also ends with the process that started it.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from enum import StrEnum
from pathlib import Path
from typing import Self

from device_sim.errors import BrokerError
from device_sim.interrupts import uninterrupted

HOST = "127.0.0.1"
START_SECONDS = 10.0
STOP_SECONDS = 5.0
_MAX_PAYLOAD = 262_144  # above IoT Core's 128 KiB, so that the reader's limit applies
_MOSQUITTO_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")


class BrokerKind(StrEnum):
    """Kinds of broker."""

    IOTCORE = "iotcore"
    MOSQUITTO = "mosquitto"


def free_port(host: str = HOST) -> int:
    """Return a TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def find_mosquitto() -> str | None:
    """Return the path of mosquitto, also from the folders for daemons that are not on every user's PATH."""
    found = shutil.which("mosquitto")
    return found or next((f"{p}/mosquitto" for p in _MOSQUITTO_FOLDERS if Path(p, "mosquitto").exists()), None)


class SensorBroker:
    """A local MQTT broker; ``port`` 0 selects a free port. ``folder`` is for the files of mosquitto.

    Raises BrokerError when the port is taken, the folder cannot be written, or the broker is absent or does not start.
    """

    def __init__(self, folder: Path, port: int = 0, kind: BrokerKind = BrokerKind.IOTCORE) -> None:
        self.host, self.port, self.kind = HOST, port, kind
        self._folder = folder
        self._stop = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if not 0 <= self.port <= 65535:
            raise BrokerError(f"broker port {self.port}: allowed are 0 to 65535, 0 selects a free port")
        if self.port:
            self._check_free()
        else:
            self.port = free_port()
        with contextlib.ExitStack() as stack:
            if self.kind is BrokerKind.IOTCORE:
                self._start_iotcore(stack)
            else:
                self._start_mosquitto(stack)
            self._stop = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.close()

    def _check_free(self) -> None:
        try:
            with socket.socket() as probe:
                # As brokers do: a previous connection in TIME_WAIT does not occupy the port.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((HOST, self.port))
        except OSError as error:
            raise BrokerError(f"broker port {HOST}:{self.port}: {error.strerror}; choose another port or 0") from error

    def _start_iotcore(self, stack: contextlib.ExitStack) -> None:
        import iotcore  # here, so that the command line works without the extra `sim`

        broker = iotcore.Broker(port=self.port, listen=HOST, max_payload_size=_MAX_PAYLOAD)
        stack.callback(broker.stop)
        try:
            with uninterrupted():
                broker.start(START_SECONDS)
        except (OSError, RuntimeError) as error:
            raise BrokerError(f"iotcore broker on {HOST}:{self.port}: {error}") from error

    def _start_mosquitto(self, stack: contextlib.ExitStack) -> None:
        program = find_mosquitto()
        if program is None:
            raise BrokerError("mosquitto is not installed (Debian: apt-get install mosquitto)")
        configuration, log = self._folder / "mosquitto.conf", self._folder / "mosquitto.log"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            configuration.write_text(_mosquitto_conf(self.port, log))
            output = stack.enter_context(log.open("ab"))
        except OSError as error:
            raise BrokerError(f"{self._folder}: {error.strerror}") from error
        with uninterrupted():
            process = subprocess.Popen(  # noqa: S603 # our own arguments, no shell
                [program, "-c", str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            stack.callback(_end, process)
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self.port):
            if process.poll() is not None:
                raise BrokerError(f"mosquitto ended with code {process.returncode}: {_tail(log)}")
            if time.monotonic() > deadline:
                raise BrokerError(f"mosquitto does not answer on {HOST}:{self.port}; see {log}")
            time.sleep(0.02)


def _mosquitto_conf(port: int, log: Path) -> str:
    # The default queue of 1,000 would drop readings for a reader that is away for ten seconds.
    return (
        f"listener {port} {HOST}\nallow_anonymous true\npersistence false\n"
        f"max_queued_messages 100000\nmax_inflight_messages 100\nlog_dest file {log}\n"
    )


def _answers(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=0.5):
            return True
    except OSError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return lines[-1] if lines else "its log is empty"
