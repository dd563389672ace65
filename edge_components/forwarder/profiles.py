"""Profiles on the gateway: learnt from batches, sent to the cloud rarely, used where they save bytes.

Nothing depends on one. The spool keeps every batch readable by itself, and a profile shortens it only on its way, the
first time it is sent; whatever is sent again is sent whole. And none is used before the cloud has acknowledged it.
So a profile that is lost, late or forgotten costs a few bytes and never a row. Pure.
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
"""The rows that a profile is learnt from, at most: the newest."""
WINDOWS_KEPT = 12
BATCHES_BETWEEN = 8
"""A profile is thought of every so many batches: trying one costs as much time as packing a few."""
WORTH = 2
"""A profile must save so many times what it takes, over the time until the next one."""
TRIES = 3
"""How often a profile that the cloud does not know is sent again, before it is given up."""


class Profiles:
    """The profile of one gateway; ``room`` is the size that it may have, ``interval_s`` the least
    time from one to the next."""

    def __init__(self, interval_s: float, room: int, counters: Counters, log: logging.Logger) -> None:
        self.interval_s, self._room, self._counters, self._log = interval_s, room, counters, log
        self._recent: deque[Aggregates] = deque()
        self._formed = 0
        self._since: float | None = None
        self._not_before: float | None = None
        self._known: Profile | None = None
        self._latest: Profile | None = None
        self._latest_id: int | None = None
        self._tries, self._requested = 0, False

    @property
    def known(self) -> Profile | None:
        """The profile that the cloud has acknowledged."""
        return self._known

    def formed(self, rows: Aggregates, body: bytes, now: float) -> bytes | None:
        """Learn from a batch, and return a packed profile to be sent where one would now pay for itself."""
        self._formed += 1
        self._since = now if self._since is None else self._since
        packed = None
        if self._formed >= BATCHES_BETWEEN and (self._not_before is None or now >= self._not_before):
            packed = self._better(rows, body, max(now - self._since, 0.001) / self._formed)
            self._formed, self._since = 0, now
            if packed is not None:
                self._not_before = now + self.interval_s
        self._keep(rows)
        return packed

    def again(self) -> bytes | None:
        """Return the packed profile that the cloud asked for, where it is to be sent again."""
        if self._latest is None or not self._requested or self._tries >= TRIES:
            return None
        self._tries, self._requested = self._tries + 1, False
        return codec.pack_profile(self._latest)

    def spooled(self, key: int) -> None:
        """Note the id under which the spool has the profile that was returned last."""
        self._latest_id = key

    def freed(self, keys: Collection[int]) -> None:
        """Note what the cloud has acknowledged."""
        if self._latest_id is not None and self._latest_id in keys:
            self._known, self._latest_id = self._latest, None

    def unknown(self, versions: Collection[int]) -> None:
        """Note the versions that the cloud reported as unknown."""
        if self._known is not None and self._known.version in versions:
            self._counters.add("profiles_unknown_to_the_cloud")
            self._log.warning("the cloud lacks profile %d", self._known.version)
            self._known, self._requested = None, True

    def forgotten(self) -> None:
        """Note that the spool may no longer have the profile that waits in it."""
        self._requested, self._latest_id = self._requested or self._latest_id is not None, None

    def shorten(self, body: bytes) -> tuple[bytes, int | None]:
        """Return a packed batch as it is to be sent the first time, and the profile that it then names."""
        if self._known is None:
            return body, None
        try:
            short = codec.shorten(body, self._known)
        except WireError:  # such as a profile or a notice: it goes as it is
            return body, None
        return (short, self._known.version) if len(short) < len(body) else (body, None)

    def _better(self, rows: Aggregates, body: bytes, seconds_a_batch: float) -> bytes | None:
        """Return a packed profile that saves more on batches like this one than it takes; learnt without this one."""
        if not self._recent:
            return None
        try:
            fresh = profile.learn(Aggregates.concatenate(list(self._recent)).compact())
            packed = codec.pack_profile(fresh)
            usual = len(self.shorten(body)[0])
            saved = usual - len(codec.shorten(body, fresh))
        except WireError as error:
            self._log.warning("no profile can be learnt: %s: %s", type(error).__name__, error)
            return None
        if len(packed) > self._room:
            self._counters.add("profiles_too_large")
            return None
        if saved * self.interval_s / seconds_a_batch < WORTH * len(packed):
            return None
        self._latest, self._latest_id, self._tries, self._requested = fresh, None, 0, False
        self._counters.add("profiles_learnt")
        self._log.info(
            "profile",
            extra={
                "fields": {
                    "version": fresh.version, "bytes": len(packed), "series": len(fresh.series),
                    "batch_bytes": usual, "saved_bytes": saved,
                }
            },
        )  # fmt: skip
        return packed

    def _keep(self, rows: Aggregates) -> None:
        """Keep the newest rows: a dozen windows of each series are enough, and of one with many, fewer."""
        windows = -(-len(rows) // max(1, len(rows.series)))
        if windows > WINDOWS_KEPT:
            rows = rows.take(np.flatnonzero(rows.start_ms >= _nth_last(rows, WINDOWS_KEPT))).compact()
        self._recent.append(rows)
        while len(self._recent) > 1 and (
            sum(map(len, self._recent)) > ROWS_KEPT or len(self._recent) > max(2, WINDOWS_KEPT // max(1, windows))
        ):
            self._recent.popleft()


def _nth_last(rows: Aggregates, n: int) -> int:
    """Return the n-th last of the times at which windows begin."""
    times = sorted(set(rows.start_ms.tolist()))
    return int(times[max(0, len(times) - n)])
