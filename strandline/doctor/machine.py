"""Checks of clock, disk, ports and permissions."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from shutil import disk_usage

from strandline.doctor.findings import Finding, Level

BUILT = datetime(2026, 1, 1, tzinfo=UTC)
"""No correct clock is earlier."""
SYNC_BYTES, SYNCS = 4096, 16
SLOW_SYNC_MS = 50.0
FREE_BYTES = 2_000_000_000
MIN_FREE_BYTES = 200_000_000
WORN = 0x08
"""Life time estimate of an eMMC from which on more than 70% is used (JEDEC: steps of 10%)."""

Run = Callable[[Sequence[str]], str | None]
"""Return the output of a program, None if it does not exist or fails."""


def run_program(command: Sequence[str]) -> str | None:
    """Return the output of a program, None if it does not exist or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603 # our own
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def check_clock(now: datetime, run: Run = run_program) -> Iterator[Finding]:
    """Check that the clock is set, and synchronised where systemd can answer."""
    mend = "sudo timedatectl set-ntp true, then timedatectl"
    if now < BUILT:
        yield Finding("clock", Level.ERROR, f"{now:%Y-%m-%d %H:%M} UTC is in the past", mend)
        return
    synchronised = run(("timedatectl", "show", "--property=NTPSynchronized", "--value"))
    if synchronised == "yes":
        yield Finding("clock", Level.OK, "synchronised")
    elif synchronised == "no":
        yield Finding("clock", Level.WARNING, f"{now:%Y-%m-%d %H:%M} UTC, not synchronised", mend)
    else:
        yield Finding("clock", Level.INFO, f"{now:%Y-%m-%d %H:%M} UTC; timedatectl does not answer", "chronyc tracking")


def sync_ms(folder: Path) -> float:
    """Return the median time in milliseconds of a synchronised write of 4 KiB; raises OSError."""
    times = []
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".strandline-doctor-") as file:
        for _ in range(SYNCS):
            began = time.perf_counter()
            file.write(os.urandom(SYNC_BYTES))
            file.flush()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - began) * 1000)
    return sorted(times)[SYNCS // 2]


def check_disk(
    folder: Path, measure: Callable[[Path], float] = sync_ms, free: Callable[[Path], int] | None = None
) -> Iterator[Finding]:
    """Check free space and speed of the disk of a folder that exists."""
    try:
        left = free(folder) if free is not None else disk_usage(folder).free
        speed = measure(folder)
    except OSError as error:
        yield Finding("disk", Level.ERROR, f"{folder}: {error.strerror}", f"ls -ld {folder}; df -h {folder}")
        return
    level = Level.ERROR if left < MIN_FREE_BYTES else Level.WARNING if left < FREE_BYTES else Level.OK
    mend = "" if level is Level.OK else f"du -xh {folder} | sort -h | tail, or --dir on another disk"
    yield Finding("disk space", level, f"{left / 1e9:.1f} GB free at {folder}", mend)
    slow = speed > SLOW_SYNC_MS
    text = f"a synchronised write of 4 KiB takes {speed:.1f} ms"
    mend = "use a faster card or an SSD; commit_ms of the components can be larger" if slow else ""
    yield Finding("disk speed", Level.WARNING if slow else Level.OK, text, mend)


def check_wear(block: Path = Path("/sys/block")) -> Iterator[Finding]:
    """Check the wear that eMMC memories report; SD cards report none."""
    found = False
    for device in sorted(block.glob("mmcblk*")):
        try:
            estimates = [int(text, 16) for text in (device / "device/life_time").read_text().split()]
        except (OSError, ValueError):
            continue
        if not (used := max(estimates, default=0)):
            continue
        found = True
        level = Level.ERROR if used > 0x0A else Level.WARNING if used >= WORN else Level.OK
        text = (
            f"{device.name}: {'more than 100' if used > 0x0A else f'{used * 10 - 10} to {used * 10}'}% of its life used"
        )
        yield Finding("disk wear", level, text, "" if level is Level.OK else "replace the memory")
    if not found:
        mend = "sudo smartctl -a /dev/DISK for an SSD; SD cards do not report it"
        yield Finding("disk wear", Level.INFO, "not readable here", mend)


def _bind(port: int) -> int:
    """Return 0 if a loopback port is free, else the number of the error."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.errno or -1
    return 0


def check_ports(ports: Sequence[int], bind: Callable[[int], int] = _bind) -> Iterator[Finding]:
    """Check that local ports are free."""
    for port in ports:
        number = bind(port)
        if not number:
            yield Finding(f"port {port}", Level.OK, "free on 127.0.0.1")
        elif number == errno.EADDRINUSE:
            yield Finding(f"port {port}", Level.WARNING, "in use on 127.0.0.1", f"ss -ltnp 'sport = :{port}'")
        else:
            yield Finding(f"port {port}", Level.ERROR, os.strerror(number), "use a port above 1023")


def _reach(host: str, port: int) -> str:
    try:
        with socket.create_connection((host, port), 5):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def check_endpoint(host: str, reach: Callable[[str, int], str] = _reach) -> Iterator[Finding]:
    """Check that the ports of an IoT endpoint can be reached."""
    for port, use in ((8883, "MQTT"), (8443, "deployments")):
        failure = reach(host, port)
        mend = f"open the port in the firewall, or configure 443: curl -v telnet://{host}:{port}" if failure else ""
        level = Level.ERROR if failure else Level.OK
        yield Finding(f"endpoint {port}", level, f"{host}, {use}: {failure or 'reached'}", mend)


def check_permissions(folder: Path, groups: Sequence[str], devices: Sequence[Path]) -> Iterator[Finding]:
    """Check that the folder of data can be written and that serial devices can be opened."""
    if os.access(folder, os.W_OK | os.X_OK):
        yield Finding("permissions", Level.OK, f"{folder} can be written")
    else:
        yield Finding("permissions", Level.ERROR, f"{folder} cannot be written", f"sudo chown $USER {folder}")
    for device in devices:
        if not os.access(device, os.R_OK | os.W_OK):
            group = "" if "dialout" in groups else "; the user is not in the group dialout"
            mend = "sudo usermod -aG dialout $USER (a gateway: ggc_user or gg_component), then log in again"
            yield Finding("serial", Level.WARNING, f"{device} cannot be opened{group}", mend)
