"""Other gateways under the same load: from one mosquitto to another, which stands in for their server.

A peer passes every reading on; it neither aggregates nor scores, so it does less than the four components. Readings
are counted at its server by their values, whose last digits no other number of a payload has (see edge_packets).
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from benchmarks.edge_broker import Mosquitto
from benchmarks.edge_load_process import Load, LoadProcess
from benchmarks.edge_measure import pss_bytes, usage
from benchmarks.edge_packets import MARKER, LoadError, connect_packet, subscribe_packet
from benchmarks.edge_peer_programs import PEERS, Answer, PeerError, Run
from device_sim.chaos.packets import publish
from device_sim.errors import BrokerError

IN_FLIGHT = 1_000
SETTLE_SECONDS = 15.0
DRAIN_SECONDS = 60.0
STOP_SECONDS = 15.0
VALUE = re.compile(MARKER)
LONGEST_VALUE = 16
LOAD = Load(series=200, rate=0.0)


class Sink:
    """Counts the readings that reach the server's broker, and answers the one question that a peer may have.

    A context manager that ends its connection.
    """

    def __init__(self, port: int, answer: Answer | None = None) -> None:
        self.readings, self._answer = 0, answer
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10.0)
        self._socket.sendall(connect_packet("bench-sink") + subscribe_packet(("#",)))
        self._socket.settimeout(None)
        self._thread = threading.Thread(target=self._count, name="sink", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _count(self) -> None:
        rest = b""
        while data := self._socket.recv(1 << 18):
            if self._answer is not None and self._answer.question in data:
                self._socket.sendall(publish(self._answer.topic, self._answer.payload))
            data = rest + data
            matches = list(VALUE.finditer(data))
            self.readings += len(matches)
            # A value that is cut in two is counted with the next data, one that was counted is not kept.
            rest = data[max(len(data) - LONGEST_VALUE, matches[-1].end() if matches else 0) :]


def peers(root: Path, programs: Mapping[str, Path | None], scale: float, log: Callable[[str], None]) -> dict[str, Any]:
    """Return the figures of every peer whose program is given, and why the others have none."""
    figures: dict[str, Any] = {}
    for name, peer in PEERS.items():
        program = programs.get(peer.program)
        if program is None or not program.exists():
            figures[name] = {"absent": "no program given" if program is None else f"{program} does not exist"}
            continue
        log(f"{name}: {peer.settings}")
        try:
            figures[name] = {"settings": peer.settings, **_measure(root / name, name, program.resolve(), scale)}
        except (PeerError, LoadError, BrokerError, OSError) as error:
            figures[name] = {"absent": f"{type(error).__name__}: {error}"[:400]}
    return figures


def _measure(root: Path, name: str, program: Path, scale: float) -> dict[str, Any]:
    shutil.rmtree(root, ignore_errors=True)  # readings stored by an earlier run must not arrive in this one
    root.mkdir(parents=True)
    with (
        Mosquitto(root / "broker", IN_FLIGHT) as broker,
        Mosquitto(root / "server", IN_FLIGHT) as server,
        Sink(server.port, PEERS[name].answer) as sink,
    ):
        run = Run(program, root / "peer", broker.port, server.port)
        run.folder.mkdir(parents=True, exist_ok=True)
        process = _start(PEERS[name].command(run), run.folder)
        try:
            PEERS[name].configure(run)
            broker.wait_subscribed()
            with LoadProcess(LOAD, broker.port, root / "load.stderr") as sender:
                return _figures(sender, process, sink, scale)
        finally:
            _stop(process)


def _start(command: tuple[list[str], Mapping[str, str]], folder: Path) -> subprocess.Popen[bytes]:
    arguments, environment = command
    with (folder / "output.log").open("wb") as output:
        return subprocess.Popen(  # noqa: S603 # the program that the user named
            arguments,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _figures(sender: LoadProcess, process: subprocess.Popen[bytes], sink: Sink, scale: float) -> dict[str, Any]:
    """Keep the peer busy, and return its throughput and resource usage; then end the load and count the readings that
    arrived."""
    time.sleep(SETTLE_SECONDS)
    before, first, began = usage(process.pid), sink.readings, time.monotonic()
    end = began + 60.0 * scale
    while time.monotonic() < end:
        sender.check()
        if process.poll() is not None:
            raise PeerError(f"it ended with code {process.returncode}")
        time.sleep(0.5)
    used, readings, seconds = usage(process.pid) - before, sink.readings - first, time.monotonic() - began
    memory = pss_bytes(process.pid)
    if readings <= 0:
        raise PeerError("no reading arrives at its server")
    counts = sender.finish()
    deadline = time.monotonic() + DRAIN_SECONDS
    while sink.readings < counts.sent and time.monotonic() < deadline:
        time.sleep(0.5)
    return {
        "readings_s": readings / seconds,
        "cpu_s_per_million": used.cpu_s / readings * 1e6,
        "disk_bytes_per_reading": used.write_bytes / readings,
        "pss_mb": memory / 1e6,
        "sent": counts.sent,
        "missing": counts.sent - sink.readings,
    }


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
