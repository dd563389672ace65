"""CPU time, bytes written to disk and memory of process trees, from ``/proc`` (Linux)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

PROC = Path("/proc")
_PSS = re.compile(rb"^Pss:\s+(\d+) kB$", re.MULTILINE)
_WRITTEN = re.compile(rb"^write_bytes: (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Usage:
    """Resources used by a process tree since its start: user and system CPU seconds, and bytes written to storage.

    ``write_bytes`` is the kernel's: pages made dirty in the cache, counted when they become so, and direct writes.
    """

    cpu_s: float = 0.0
    write_bytes: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.cpu_s + other.cpu_s, self.write_bytes + other.write_bytes)

    def __sub__(self, other: Usage) -> Usage:
        return Usage(self.cpu_s - other.cpu_s, self.write_bytes - other.write_bytes)


@dataclass(frozen=True, slots=True)
class Sample:
    """The usage of several process trees at a moment (monotonic seconds)."""

    at: float
    usage: Mapping[str, Usage]

    def since(self, earlier: Sample) -> dict[str, Usage]:
        """Return what each tree used between two samples."""
        return {name: used - earlier.usage[name] for name, used in self.usage.items()}


def cpu_seconds(stat: bytes) -> float:
    """Return the CPU seconds in ``/proc/<pid>/stat``: the process' own and those of children that have ended."""
    fields = stat.rpartition(b")")[2].split()  # the name before it may contain any character
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def written(io: bytes) -> int:
    """Return write_bytes of ``/proc/<pid>/io``."""
    found = _WRITTEN.search(io)
    if found is None:
        raise ValueError("no write_bytes: the kernel lacks task I/O accounting")
    return int(found[1])


def pss(smaps: bytes) -> int:
    """Return the proportional set size in ``/proc/<pid>/smaps_rollup``, bytes."""
    found = _PSS.search(smaps)
    return int(found[1]) * 1024 if found else 0


def usage(pid: int) -> Usage:
    """Return the usage of a process and its descendants; processes that end meanwhile are not counted."""
    total = Usage()
    for one in tree(pid):
        try:
            folder = PROC / str(one)
            total += Usage(cpu_seconds((folder / "stat").read_bytes()), written((folder / "io").read_bytes()))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def pss_bytes(pid: int) -> int:
    """Return the proportional set size of a process and its descendants."""
    total = 0
    for one in tree(pid):
        try:
            total += pss((PROC / str(one) / "smaps_rollup").read_bytes())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def tree(pid: int) -> list[int]:
    """Return the ids of a process and its descendants, nothing when it has ended."""
    try:
        process = psutil.Process(pid)
        return [pid, *(child.pid for child in process.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []
