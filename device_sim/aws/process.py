"""Start and stop of the emulator's process group."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from device_sim import process_group
from device_sim.aws.errors import PortTakenError, StartError
from device_sim.interrupts import uninterrupted

REGION = "us-east-1"
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opener of loopback addresses that ignores proxy settings."""

_START_S, _STOP_S = 30.0, 5.0
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "SYSTEMROOT", "LD_LIBRARY_PATH", "VIRTUAL_ENV")


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_port(port: int, what: str) -> int:
    """Return ``port`` if it can be bound on loopback; raises PortTakenError naming ``what``."""
    if not 1 <= port <= 65_535:
        raise PortTakenError(f"port {port} for {what}: 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortTakenError(
                f"port {port} for {what} cannot be used: {error.strerror}; stop the process on it or choose another"
            ) from error
    return port


@dataclass(slots=True)
class Emulator:
    """A running emulator: its process group, ports and the key of its account's root."""

    process: subprocess.Popen[bytes]
    http_port: int
    mqtt_port: int
    access_key: str
    secret_key: str
    log: Path

    @property
    def url(self) -> str:
        """The endpoint of every AWS service."""
        return f"http://127.0.0.1:{self.http_port}"

    def authority(self) -> bytes:
        """Return the PEM of the authority that signs the broker's and the gateways' certificates."""
        with DIRECT.open(f"{self.url}/_ministack/iot/ca.pem", timeout=10) as answer:
            return bytes(answer.read())

    def stop(self) -> None:
        """End the emulator and every process it started; safe to call again."""
        process_group.end(self.process, _STOP_S)
        if self.process.stdin is not None:
            self.process.stdin.close()


def start(root: Path, http_port: int | None, mqtt_port: int | None) -> Emulator:
    """Start an emulator that keeps everything below ``root``, and wait until it answers.

    Raises PortTakenError for a given port that is in use, StartError when the folder cannot be written or the emulator
    does not come up.
    """
    if http_port is not None:
        check_port(http_port, "the local AWS")
    if mqtt_port is not None:
        check_port(mqtt_port, "the local AWS IoT broker")
    temporary = root / "tmp"
    try:
        temporary.mkdir(parents=True, exist_ok=True)
        log = root / "emulator.log"
        log.touch()
    except OSError as error:
        raise StartError(f"cannot write in {root}: {error.strerror}") from error
    fixed = http_port is not None and mqtt_port is not None
    for attempt in range(1 if fixed else 3):
        try:
            return _start_once(root, temporary, log, http_port or free_port(), mqtt_port or free_port())
        except StartError:
            # Another process may take a free port before the emulator does; then other ports are tried.
            if fixed or attempt == 2:
                raise
    raise AssertionError("unreachable")


def _start_once(root: Path, temporary: Path, log: Path, http_port: int, mqtt_port: int) -> Emulator:
    emulator = None
    try:
        with uninterrupted():
            emulator = _spawn(root, temporary, log, http_port, mqtt_port)
        _wait_until_ready(emulator)
    except BaseException:
        if emulator is not None:
            emulator.stop()
        raise
    return emulator


def _spawn(root: Path, temporary: Path, log: Path, http_port: int, mqtt_port: int) -> Emulator:
    access_key, secret_key = "AKIA" + secrets.token_hex(8).upper(), secrets.token_hex(20)
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | {
        "GATEWAY_PORT": str(http_port),
        "IOT_MTLS_PORT": str(mqtt_port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        # Enforce roles and policies as in the template.
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "TMPDIR": str(temporary),
        "STATE_DIR": str(root / "state"),
        "S3_DATA_DIR": str(root / "s3"),
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": f"unix://{root / 'no-docker.sock'}",
        "LOG_LEVEL": "INFO",
        "PYTHONDONTWRITEBYTECODE": "1",
        # Many threads of NumPy in every worker would fight for two cores.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    repo = Path(__file__).resolve().parents[2]
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "device_sim.aws.emulator"],
            cwd=repo,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Emulator(process, http_port, mqtt_port, access_key, secret_key, log)


def _wait_until_ready(emulator: Emulator) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if emulator.process.poll() is not None:
            raise StartError(f"the emulator ended with code {emulator.process.returncode}: {_tail(emulator.log)}")
        state = _ready_state(emulator.url)
        if state == "listening":
            return
        if state not in (None, "starting"):
            raise StartError(f"the emulator's broker did not bind port {emulator.mqtt_port}: {_tail(emulator.log)}")
        time.sleep(0.05)
    raise StartError(f"the emulator did not come up in {_START_S:.0f} s: {_tail(emulator.log)}")


def _ready_state(url: str) -> str | None:
    try:
        with DIRECT.open(f"{url}/_ministack/ready", timeout=2) as answer:
            return str(json.load(answer).get("iot_mtls"))
    except urllib.error.HTTPError as error:
        error.close()
        return "starting"
    except (OSError, ValueError):
        return None


def _tail(log: Path) -> str:
    return " | ".join(log.read_text(errors="replace").splitlines()[-5:])
