"""Names: of series, of gateways, and of batches. Names of series follow SenML (RFC 8428, section 4.5.1).

Imports no NumPy, because functions that decode no rows use it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import IntEnum

from wire.errors import ModelError

MAX_NAME = 128
MAX_SEQUENCE = 2**63 - 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*\Z")
_STATISTIC = re.compile(r":(?:last|p[1-9][0-9]?(?:_[1-9])?)\Z")
_GATEWAY = re.compile(r"[A-Za-z0-9_:\-]{1,128}\Z")


class Quality(IntEnum):
    """Quality of a reading: the three severities of OPC UA status codes."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


@dataclass(frozen=True, slots=True)
class Series:
    """One measured channel of one device.

    ``resolution`` is the smallest step of the value in ``unit``, above 0, or None if unknown.
    Raises ModelError for a name, unit or resolution that is not allowed.
    """

    name: str
    unit: str = ""
    resolution: float | None = None

    def __post_init__(self) -> None:
        if len(self.name) > MAX_NAME or not _NAME.match(self.name):
            raise ModelError(
                f"series name {self.name[:140]!r}: 1 to {MAX_NAME} of A-Z a-z 0-9 - : . / _, the first alphanumeric"
            )
        # A lone surrogate is not printable and cannot be encoded, so the order matters.
        if not self.unit.isprintable() or len(self.unit.encode()) > 32:
            raise ModelError(f"series {self.name}: unit {self.unit[:40]!r}: at most 32 bytes, printable")
        if self.resolution is not None and not (math.isfinite(self.resolution) and self.resolution > 0):
            raise ModelError(f"series {self.name}: resolution {self.resolution!r}: finite and above 0, or absent")


def statistic_name(series: str, statistic: str) -> str:
    """Return the name of the series that has a statistic of another series' windows, such as ``pump.flow:p95``."""
    return f"{series}:{statistic}"


def is_statistic(name: str) -> bool:
    """Return whether a name is reserved for a statistic: it ends in ``:last``, or in a percentile such as ``:p95``."""
    return ":" in name and _STATISTIC.search(name) is not None


def check_gateway(name: str) -> str:
    """Return ``name`` if it is a valid gateway name (an AWS IoT thing name), else raise ModelError."""
    if not _GATEWAY.match(name):
        raise ModelError(f"gateway {name[:140]!r}: 1 to 128 of A-Z a-z 0-9 _ : -")
    return name


def check_name(gateway: str, epoch: int, sequence: int) -> str:
    """Return ``gateway`` if the three values are a valid batch name, else raise ModelError."""
    if not 0 <= epoch < 2**64:
        raise ModelError(f"epoch {epoch}: 0 to 2^64 - 1")
    if not 1 <= sequence <= MAX_SEQUENCE:
        raise ModelError(f"sequence {sequence}: 1 to {MAX_SEQUENCE}")
    return check_gateway(gateway)
