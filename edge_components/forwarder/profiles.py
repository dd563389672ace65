"""Profiles on the gateway: learned from batches, sent to the cloud rarely, used where they save bytes. Pure.

No batch depends on a profile. Batches in the spool are complete; a profile shortens a batch only when it is first sent,
and retransmissions are complete. A profile is used after the cloud has acknowledged it. So a lost profile costs a few
bytes and no rows.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection

import numpy as np

from edge_components.common.health import Counters
from wire import codec, profile
from wire.codec import Profile
from wire.errors import WireError
from wire.model import Aggregates

ROWS_KEPT = 4_096
"""Maximum number of rows, the newest ones, from which a profile is learned."""
WINDOWS_KEPT = 12
BATCHES_BETWEEN = 8
"""Batches between two attempts to learn a profile: an attempt takes as much time as packing a few batches."""
MIN_GAIN = 2
"""Minimum ratio of the bytes that a profile saves until the next one to its own size."""
MAX_ATTEMPTS = 3
"""Maximum number of times that a profile which the cloud reports as unknown is sent again."""


class Profiles:
    """Profile of one gateway; ``room`` is its maximum size, ``interval_s`` the minimum time between two profiles."""

    def __init__(self, interval_s: float, room: int, counters: Counters, log: logging.Logger) -> None:
        self.interval_s, self._room, self._counters, self._log = interval_s, room, counters, log
        self._recent: deque[Aggregates] = deque()
        self._formed = 0
        self._since: float | None = None
        self._not_before: float | None = None
        self._known: Profile | None = None
        self._latest: Profile | None = None
        self._latest_id: int | None = None
        self._attempts, self._requested = 0, False

    @property
    def known(self) -> Profile | None:
        """Profile that the cloud has acknowledged."""
        return self._known

    def formed(self, rows: Aggregates, body: bytes, now: float) -> bytes | None:
        """Record a batch, and return a packed profile to be sent if it saves more bytes than it takes."""
        self._formed += 1
        self._since = now if self._since is None else self._since
        packed = None
        if self._formed >= BATCHES_BETWEEN and (self._not_before is None or now >= self._not_before):
            packed = self._learn(rows, body, max(now - self._since, 0.001) / self._formed)
            self._formed, self._since = 0, now
            if packed is not None:
                self._not_before = now + self.interval_s
        self._keep(rows)
        return packed

    def requested(self) -> bytes | None:
        """Return the packed profile that the cloud has requested, if it is to be sent again."""
        if self._latest is None or not self._requested or self._attempts >= MAX_ATTEMPTS:
            return None
        self._attempts, self._requested = self._attempts + 1, False
        return codec.pack_profile(self._latest)

    def spooled(self, key: int) -> None:
        """Record the id in the spool of the profile that was returned last."""
        self._latest_id = key

    def freed(self, keys: Collection[int]) -> None:
        """Record the ids of batches that the cloud has acknowledged."""
        if self._latest_id is not None and self._latest_id in keys:
            self._known, self._latest_id = self._latest, None

    def unknown(self, versions: Collection[int]) -> None:
        """Record the versions that the cloud has reported as unknown."""
        if self._known is not None and self._known.version in versions:
            self._counters.add("profiles_unknown_to_the_cloud")
            self._log.warning("the cloud lacks profile %d", self._known.version)
            self._known, self._requested = None, True

    def reset_pending(self) -> None:
        """Send the pending profile again: the spool may no longer have it."""
        self._requested, self._latest_id = self._requested or self._latest_id is not None, None

    def shorten(self, body: bytes) -> tuple[bytes, int | None]:
        """Return a packed batch as it is sent first, and the version of the profile that it refers to, if any."""
        if self._known is None:
            return body, None
        try:
            short = codec.shorten(body, self._known)
        except WireError:  # such as a profile or a notice, which is sent unchanged
            return body, None
        return (short, self._known.version) if len(short) < len(body) else (body, None)

    def _learn(self, rows: Aggregates, body: bytes, seconds_a_batch: float) -> bytes | None:
        """Return a packed profile if it saves more on batches like this one than it takes; None otherwise."""
        if not self._recent:
            return None
        try:
            learned = profile.learn(Aggregates.concatenate(list(self._recent)).compact())
            packed = codec.pack_profile(learned)
            usual = len(self.shorten(body)[0])
            saved = usual - len(codec.shorten(body, learned))
        except WireError as error:
            self._log.warning("no profile can be learned: %s: %s", type(error).__name__, error)
            return None
        if len(packed) > self._room:
            self._counters.add("profiles_too_large")
            return None
        if saved * self.interval_s / seconds_a_batch < MIN_GAIN * len(packed):
            return None
        self._latest, self._latest_id, self._attempts, self._requested = learned, None, 0, False
        self._counters.add("profiles_learned")
        self._log.info(
            "profile",
            extra={
                "fields": {
                    "version": learned.version, "bytes": len(packed), "series": len(learned.series),
                    "batch_bytes": usual, "saved_bytes": saved,
                }
            },
        )  # fmt: skip
        return packed

    def _keep(self, rows: Aggregates) -> None:
        """Keep the newest rows: at most a dozen windows of each series, fewer if there are many series."""
        windows = -(-len(rows) // max(1, len(rows.series)))
        if windows > WINDOWS_KEPT:
            rows = rows.take(np.flatnonzero(rows.start_ms >= _nth_last(rows, WINDOWS_KEPT))).compact()
        self._recent.append(rows)
        while len(self._recent) > 1 and (
            sum(map(len, self._recent)) > ROWS_KEPT or len(self._recent) > max(2, WINDOWS_KEPT // max(1, windows))
        ):
            self._recent.popleft()


def _nth_last(rows: Aggregates, n: int) -> int:
    """Return the n-th last start of a window."""
    times = sorted(set(rows.start_ms.tolist()))
    return int(times[max(0, len(times) - n)])
