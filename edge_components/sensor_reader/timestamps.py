"""Event times as sensors write them, to integer milliseconds since the epoch, UTC. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from edge_components.common.wall_clock import is_set
from edge_components.sensor_reader.errors import RejectedError, UnusableTimeError
from edge_components.sensor_reader.formats import Relative

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
# The unit of a number follows from its magnitude: each unit covers the years 1973 to 5138 and no two overlap.
_SECONDS, _MILLISECONDS, _MICROSECONDS, _NANOSECONDS, _END = 10**8, 10**11, 10**14, 10**17, 10**20
_PARTS = (("timeInSeconds", "offsetInNanos"), ("seconds", "nanos"))
_NUMBER = re.compile(r"\s*[+-]?\d{1,20}(\.\d{0,9})?\s*\Z")


@dataclass(frozen=True, slots=True)
class EventTimes:
    """Reader of times with an entry's settings.

    Text without an offset from UTC is in ``zone``, and rejected where that is None. Where ``replace_unusable`` is set,
    a time of a clock that was never set (before 1973) or is ahead by more than ``max_future_ms`` is replaced by the
    arrival time.
    """

    max_future_ms: int
    zone: tzinfo | None = None
    replace_unusable: bool = True

    def one(self, raw: Any, arrival_ms: int) -> tuple[int, bool]:
        """Return the event time, and whether the arrival time replaces an unusable one; raises RejectedError."""
        try:
            return event_time_ms(raw, arrival_ms, self.max_future_ms, self.zone), False
        except UnusableTimeError:
            if not self.replace_unusable:
                raise
            return arrival_ms, True

    def all(self, raw: Sequence[Any], arrival_ms: int, before_ms: Callable[[], Sequence[int]]) -> list[int] | None:
        """Return the event times of many measurements, None when one of them is not usable as it is.

        Each arrived some milliseconds before ``arrival_ms``; ``before_ms`` is called only if a time depends on it."""
        kinds = set(map(type, raw))
        if (
            kinds == {int}
            and min(raw) >= _MILLISECONDS
            and max(raw) < min(_MICROSECONDS, arrival_ms + self.max_future_ms)
        ):
            return list(raw)
        if kinds == {type(None)}:
            return [arrival_ms - before for before in before_ms()]
        try:
            return [
                event_time_ms(one, arrival_ms, self.max_future_ms, self.zone) - depends_on_arrival(one) * before
                for one, before in zip(raw, before_ms(), strict=True)
            ]
        except RejectedError:
            return None


def depends_on_arrival(raw: Any) -> bool:
    """Return whether a payload's time follows from its arrival."""
    return raw is None or isinstance(raw, Relative)


def event_time_ms(raw: Any, arrival_ms: int, max_future_ms: int, zone: tzinfo | None = None) -> int:
    """Return the event time of ``raw``, a payload's value, None for absent.

    A number, also as text, is seconds, milliseconds, microseconds or nanoseconds since the epoch; other text is ISO
    8601 with an offset, or in ``zone``; an object has seconds and nanoseconds. An absent time is the arrival time.
    Raises RejectedError for anything else, and UnusableTimeError for a time before 1973 or more than ``max_future_ms``
    after the arrival (unless the gateway's own clock is plainly not set).
    """
    if raw is None:
        return arrival_ms
    if isinstance(raw, Relative):
        time_ms = arrival_ms + raw.ms
    elif isinstance(raw, dict):
        time_ms = _from_parts(raw)
    elif isinstance(raw, bool) or not isinstance(raw, int | float | str):
        raise RejectedError("rejected_time", f"time {_shown(raw)} is neither a number nor text")
    else:
        time_ms = _from_text(raw, arrival_ms, zone) if isinstance(raw, str) else _from_number(raw)
    if time_ms > arrival_ms + max_future_ms and is_set(arrival_ms):
        ahead = (time_ms - arrival_ms) / 1000
        raise UnusableTimeError("rejected_future", f"time {_shown(raw)} is {ahead:.0f} s after the gateway's clock")
    return time_ms


def _from_number(raw: int | float) -> int:
    if isinstance(raw, float) and not math.isfinite(raw):
        raise RejectedError("rejected_time", f"time {raw} is not finite")
    if 0 <= raw < _SECONDS:
        raise UnusableTimeError("rejected_time", f"time {_shown(raw)} is before 1973: the device's clock is not set")
    if not _SECONDS <= raw < _END:
        raise RejectedError("rejected_time", f"time {_shown(raw)} is not a time since 1973 in s, ms, us or ns")
    if raw < _MILLISECONDS:
        return round(raw * 1000)
    if raw < _MICROSECONDS:
        return round(raw)
    return int(raw // 1000) if raw < _NANOSECONDS else int(raw // 1_000_000)


def _from_parts(raw: dict[str, Any]) -> int:
    """Return the time of an object of seconds and nanoseconds, as AWS IoT SiteWise and protocol buffers write it."""
    for seconds_key, nanoseconds_key in _PARTS:
        seconds, nanoseconds = raw.get(seconds_key), raw.get(nanoseconds_key, 0)
        if isinstance(seconds, bool) or not isinstance(seconds, int) or not isinstance(nanoseconds, int):
            continue
        if 0 <= nanoseconds < 10**9:
            return _from_number(seconds) + nanoseconds // 1_000_000
    raise RejectedError("rejected_time", f"time {_shown(raw)} is not an object of seconds and nanoseconds")


def _from_text(raw: str, arrival_ms: int, zone: tzinfo | None) -> int:
    if _NUMBER.match(raw[:64]):
        return _from_number(float(raw) if "." in raw else int(raw))
    try:
        moment = datetime.fromisoformat(raw[:64].strip().replace("/", "-"))
    except ValueError as error:
        raise RejectedError("rejected_time", f"time {_shown(raw)} is not ISO 8601") from error
    if moment.tzinfo is not None:
        time_ms = (moment - _EPOCH) // _MILLISECOND
    elif zone is None:
        raise RejectedError("rejected_time", f"time {_shown(raw)} has no offset from UTC, and time_zone is not set")
    else:
        time_ms = _local_ms(moment, arrival_ms, zone)
    if time_ms < _SECONDS * 1000:
        raise UnusableTimeError("rejected_time", f"time {_shown(raw)} is before 1973: the device's clock is not set")
    return time_ms


def _local_ms(moment: datetime, arrival_ms: int, zone: tzinfo) -> int:
    """Return a local time in UTC; of the two that an hour may stand for when clocks change, that nearer the arrival."""
    try:
        both = [(moment.replace(tzinfo=zone, fold=fold) - _EPOCH) // _MILLISECOND for fold in (0, 1)]
    except OverflowError as error:
        raise RejectedError("rejected_time", f"time {moment} is not a time since 1973") from error
    return min(both, key=lambda time_ms: abs(arrival_ms - time_ms))


def _shown(raw: Any) -> str:
    if isinstance(raw, int) and abs(raw) > _END:
        return f"of {raw.bit_length()} bits"
    return repr(raw)[:80]
