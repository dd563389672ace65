"""System clock that implements :data:`cloud_functions.core.ports.NowMs`."""

from __future__ import annotations

import time

DAY_MS = 86_400_000


def now_ms() -> int:
    """Return milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000
