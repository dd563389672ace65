"""Event times as sensors write them, to integer milliseconds since the epoch, UTC. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from edge_components.common.wall_clock import is_set
from edge_components.sensor_reader.errors import RejectedError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
# The unit of a number follows from its magnitude: each unit covers the years 1973 to 5138 and no two overlap.
_SECONDS, _MILLISECONDS, _MICROSECONDS, _NANOSECONDS, _END = 10**8, 10**11, 10**14, 10**17, 10**20


def event_time_ms(raw: Any, arrival_ms: int, max_future_ms: int) -> int:
    """Return the event time of ``raw``, a payload's JSON value, None for absent.

    A number is seconds, milliseconds, microseconds or nanoseconds since the epoch; text is ISO 8601 with an offset. An
    absent time is the arrival time. Raises RejectedError for anything else, and for a time more than ``max_future_ms``
    after the arrival (unless the gateway's own clock is plainly not set).
    """
    if raw is None:
        return arrival_ms
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        raise RejectedError("rejected_time", f"time {_shown(raw)} is neither a number nor text")
    time_ms = _from_text(raw) if isinstance(raw, str) else _from_number(raw)
    if time_ms > arrival_ms + max_future_ms and is_set(arrival_ms):
        ahead = (time_ms - arrival_ms) / 1000
        raise RejectedError("rejected_future", f"time {_shown(raw)} is {ahead:.0f} s after the gateway's clock")
    return time_ms


def event_times_ms(raw: Sequence[Any], arrival_ms: int, max_future_ms: int) -> list[int] | None:
    """Return the event times of many payloads as :func:`event_time_ms` does, None when one of them is rejected."""
    kinds = set(map(type, raw))
    if kinds == {int} and min(raw) >= _MILLISECONDS and max(raw) < min(_MICROSECONDS, arrival_ms + max_future_ms):
        return list(raw)
    if kinds == {type(None)}:
        return [arrival_ms] * len(raw)
    try:
        return [event_time_ms(one, arrival_ms, max_future_ms) for one in raw]
    except RejectedError:
        return None


def _from_number(raw: int | float) -> int:
    if isinstance(raw, float) and not math.isfinite(raw):
        raise RejectedError("rejected_time", f"time {raw} is not finite")
    if not _SECONDS <= raw < _END:
        raise RejectedError("rejected_time", f"time {_shown(raw)} is not a time since 1973 in s, ms, us or ns")
    if raw < _MILLISECONDS:
        return round(raw * 1000)
    if raw < _MICROSECONDS:
        return round(raw)
    return int(raw // 1000) if raw < _NANOSECONDS else int(raw // 1_000_000)


def _from_text(raw: str) -> int:
    try:
        moment = datetime.fromisoformat(raw[:64])
    except ValueError as error:
        raise RejectedError("rejected_time", f"time {_shown(raw)} is not ISO 8601") from error
    if moment.tzinfo is None:
        raise RejectedError("rejected_time", f"time {_shown(raw)} has no offset from UTC")
    time_ms = (moment - _EPOCH) // _MILLISECOND
    if time_ms < _SECONDS * 1000:
        raise RejectedError("rejected_time", f"time {_shown(raw)} is before 1973")
    return time_ms


def _shown(raw: Any) -> str:
    if isinstance(raw, int) and abs(raw) > _END:
        return f"of {raw.bit_length()} bits"
    return repr(raw)[:80]
