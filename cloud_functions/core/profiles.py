"""Profiles of series sent by gateways (see wire.profile).

A profile never changes under its version, so cached ones stay valid. Stored batches are decoded with it later: it
expires ``KEPT_MS`` after it was last sent, and counts as unknown from ``raw_ms`` (the time that a batch is stored)
before that. The gateway then receives a request for it and sends it again.

NumPy, which profiles are decoded with, is imported when the first one is: most workers only count their series.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING, TypeVar

from cloud_functions.core import keys
from cloud_functions.core.arrival import Arrival, fingerprint, unreadable
from cloud_functions.core.errors import Reason, RejectError
from cloud_functions.core.ports import Item, NowMs, Table
from wire import summary
from wire.container import Kind
from wire.errors import WireError

if TYPE_CHECKING:
    from wire.profile import Profile

KEPT_MS = 60 * 86_400_000
RAW_MS = 7 * 86_400_000
MAX_DECODED = 64
"""Decoded profiles a worker keeps, least recently used removed; one of 200 series takes some 200 KB."""
MAX_KNOWN = 100_000
"""Number of series of profiles that a worker keeps: some 20 MB."""
_LOG = logging.getLogger(__name__)
_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class Profiles:
    """The profiles in the telemetry table, by gateway and version."""

    def __init__(self, table: Table, now_ms: NowMs, raw_ms: int = RAW_MS) -> None:
        self._table, self._now_ms, self._raw_ms = table, now_ms, raw_ms
        self._decoded: OrderedDict[tuple[str, int], Profile] = OrderedDict()
        self._sizes: OrderedDict[tuple[str, int], tuple[int, int]] = OrderedDict()

    def find(self, gateway: str, version: int) -> Profile | None:
        """Return a profile, or None if it is unknown or unreadable; raises StoreError."""
        name = (gateway, version)
        known = self._decoded.get(name)
        if known is None:
            item = self._table.get(keys.profile(gateway, version))
            known = None if item is None else _read(item, gateway, version)
            if known is None:
                return None
        _keep(self._decoded, name, known, MAX_DECODED)
        return known

    def series_of(self, gateway: str, version: int) -> int | None:
        """Return the number of series of a profile, or None if it is unknown, damaged or expires too soon."""
        name = (gateway, version)
        entry = self._sizes.get(name)
        if entry is None:
            item = self._table.get(keys.profile(gateway, version))
            if item is None or not _is_intact(item, gateway):
                return None
            entry = int(item["series"]), int(item["expires_at"]) * 1000
        _keep(self._sizes, name, entry, MAX_KNOWN)
        series, expires_ms = entry
        if self._now_ms() > expires_ms - self._raw_ms:
            del self._sizes[name]  # it may have been sent again since
            return None
        return series

    def store(self, arrival: Arrival) -> Profile:
        """Store a profile unchanged and return it; storing it again extends the time that it is kept.

        Raises RejectError (codec; different when another is stored under its version), and StoreError.
        """
        from wire import codec

        envelope = arrival.envelope
        try:
            known = codec.decode_profile(envelope.data)[1]
        except WireError as error:
            raise unreadable(error) from error
        key, digest = keys.profile(envelope.gateway, known.version), _digest(known)
        there = self._table.get(key)
        if there is not None and there["digest"] != digest:
            name = f"profile {known.version} of {envelope.gateway}"
            raise DifferentProfileError(known.version, f"{name} is stored with other content")
        item: Item = {
            "pk": key.pk,
            "sk": key.sk,
            "kind": "profile",
            "body": envelope.data,
            "series": len(known.series),
            "digest": digest,
            "received_ms": envelope.received_ms,
            "expires_at": (self._now_ms() + max(KEPT_MS, 4 * self._raw_ms)) // 1000,
        }
        self._table.put_many([item])
        return known


class DifferentProfileError(RejectError):
    """Another profile is stored under the version."""

    def __init__(self, version: int, detail: str) -> None:
        super().__init__(Reason.DIFFERENT, detail)
        self.version = version


def _keep(cache: OrderedDict[_K, _V], name: _K, value: _V, most: int) -> None:
    cache[name] = value
    cache.move_to_end(name)
    while len(cache) > most:
        cache.popitem(last=False)


def _is_intact(item: Item, gateway: str) -> bool:
    """Return True if the checksum of a stored profile holds."""
    try:
        name = summary.read_name(item["body"])  # type: ignore[arg-type] # this module wrote it
    except WireError as error:
        _LOG.error("profile %s of %s cannot be read and is requested again: %s", item["sk"], gateway, error)
        return False
    return name.gateway == gateway and name.kind is Kind.PROFILE


def _read(item: Item, gateway: str, version: int) -> Profile | None:
    from wire import codec

    try:
        owner, known = codec.decode_profile(item["body"])  # type: ignore[arg-type] # this module wrote it
    except WireError as error:
        _LOG.error("profile %d of %s cannot be read: %s", version, gateway, error)
        return None
    return known if (owner, known.version) == (gateway, version) else None


def _digest(known: Profile) -> bytes:
    """Return a digest of the profile's content, independent of its batch name."""
    from wire import profile

    return fingerprint(profile.write(known))
