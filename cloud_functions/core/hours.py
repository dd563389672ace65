"""Hours of event time: when an hour is compacted, and the entries that reopen one for a late batch."""

from __future__ import annotations

from collections.abc import Iterator

from cloud_functions.core import keys
from cloud_functions.core.keys import HOUR_MS
from cloud_functions.core.ports import Item

LATE_MS = 5 * 60_000
"""A batch that is stored later than this after the end of an hour reopens the hour."""
GRACE_MS = 10 * 60_000
"""Time after the end of an hour at which it is compacted; the difference covers clocks and slow writes."""
MAX_HOURS = 400
"""Most hours that one batch reopens; rows of older hours of a longer batch stay in the stored batch."""


def hour_of(ms: int) -> int:
    """Return the start of the hour that contains a time."""
    return ms // HOUR_MS * HOUR_MS


def reopening(gateway: str, first_ms: int, last_ms: int, stored_ms: int, digest: bytes) -> Iterator[Item]:
    """Yield the entries for the hours that were or may be compacted when a batch with rows in the range was stored."""
    first, last = hour_of(first_ms), min(hour_of(last_ms), hour_of(stored_ms - HOUR_MS - LATE_MS))
    for hour_ms in range(max(first, last - MAX_HOURS * HOUR_MS), last + 1, HOUR_MS):
        yield reopened_item(gateway, hour_ms, int.from_bytes(digest[:7]))


def reopened_item(gateway: str, hour_ms: int, version: int) -> Item:
    """Return the entry of a reopened hour; ``version`` differs for each batch, so that a deletion notices a new one."""
    return {
        "pk": keys.reopened(keys.bucket(gateway)),
        "sk": f"{keys.time(hour_ms)}#{gateway}",
        "kind": "reopened",
        "version": version,
    }
