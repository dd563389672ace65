"""Profiles of series sent by gateways (see wire.profile).

A profile never changes under its version, so cached ones stay valid. It expires ``KEPT_MS`` after it was last sent; the
gateway then gets a request for it and sends it again, so no data depends on a stored profile.
"""

from __future__ import annotations

import logging
from collections import OrderedDict

from cloud_functions.core import keys
from cloud_functions.core.arrival import Envelope, fingerprint
from cloud_functions.core.errors import Reason, RejectError
from cloud_functions.core.ports import Item, NowMs, Table
from wire import codec, profile
from wire.codec import Profile
from wire.errors import WireError

KEPT_MS = 60 * 86_400_000
MAX_CACHED = 64
"""Profiles cached per worker, least recently used evicted; one of 200 series takes some 200 KB."""
_LOG = logging.getLogger(__name__)


class Profiles:
    """The profiles in the telemetry table, by gateway and version."""

    def __init__(self, table: Table, now_ms: NowMs, kept_ms: int = KEPT_MS) -> None:
        self._table, self._now_ms, self._kept_ms = table, now_ms, kept_ms
        self._cached: OrderedDict[tuple[str, int], Profile] = OrderedDict()

    def find(self, gateway: str, version: int) -> Profile | None:
        """Return a profile, or None if it is unknown or unreadable; raises StoreError."""
        name = (gateway, version)
        if name not in self._cached:
            item = self._table.get(keys.profile(gateway, version))
            known = None if item is None else _read(item, gateway, version)
            if known is None:
                return None
            self._cached[name] = known
            while len(self._cached) > MAX_CACHED:
                self._cached.popitem(last=False)
        self._cached.move_to_end(name)
        return self._cached[name]

    def store(self, envelope: Envelope, known: Profile) -> None:
        """Store a profile unchanged; storing it again extends its life.

        Raises RejectError (different) when another is stored under its version, and StoreError.
        """
        key, digest = keys.profile(envelope.gateway, known.version), _digest(known)
        there = self._table.get(key)
        if there is not None and there["digest"] != digest:
            name = f"profile {known.version} of {envelope.gateway}"
            raise RejectError(Reason.DIFFERENT, f"{name} is stored with other content")
        item: Item = {
            "pk": key.pk,
            "sk": key.sk,
            "kind": "profile",
            "body": envelope.data,
            "digest": digest,
            "received_ms": envelope.received_ms,
            "expires_at": (self._now_ms() + self._kept_ms) // 1000,
        }
        self._table.put_many([item])


def _read(item: Item, gateway: str, version: int) -> Profile | None:
    try:
        owner, known = codec.decode_profile(item["body"])  # type: ignore[arg-type] # we wrote it
    except WireError as error:
        _LOG.error("profile %d of %s cannot be read and is requested again: %s", version, gateway, error)
        return None
    return known if (owner, known.version) == (gateway, version) else None


def _digest(known: Profile) -> bytes:
    """Return a digest of the profile's content, independent of its batch name."""
    return fingerprint(profile.write(known))
