"""The subscriptions of a persistent session: what the broker still holds of a former process, and what it refused.

A broker keeps a session's topic filters when the client ends. One that is no longer wanted must be unsubscribed, or its
publications come for ever; so the filters are remembered on disk before they are subscribed.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from edge_components.common.files import replace_file

FIRST_RETRY_S, LONGEST_RETRY_S = 10.0, 300.0
_FILE_LOCK = threading.Lock()
"""Guards the file, which the connections of several brokers write to."""


class FilterStore(Protocol):
    """The store of a session's topic filters."""

    def load(self) -> set[str]:
        """Return the filters that the broker may hold."""

    def save(self, filters: Iterable[str]) -> None:
        """Remember filters; raises OSError where that fails."""


class FilterFile:
    """The filters of one session in a JSON file that other sessions share; a damaged file holds nothing."""

    def __init__(self, path: Path, session: str) -> None:
        self._path, self._session = path, session

    def load(self) -> set[str]:
        """Return the filters that the broker may hold."""
        filters = self._sessions().get(self._session, [])
        return {one for one in filters if isinstance(one, str)} if isinstance(filters, list) else set()

    def save(self, filters: Iterable[str]) -> None:
        """Remember filters; raises OSError where that fails."""
        with _FILE_LOCK:
            sessions = {**self._sessions(), self._session: sorted(filters)}
            replace_file(self._path, json.dumps(sessions).encode())

    def _sessions(self) -> dict[str, object]:
        try:
            found = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


class Subscriptions:
    """The state of one session's subscriptions. Pure but for its store."""

    def __init__(self, wanted: Iterable[str], store: FilterStore) -> None:
        self._wanted, self._store = list(dict.fromkeys(wanted)), store
        self._held = store.load()
        """The filters that the broker may hold, as remembered on disk."""
        self._refused: dict[str, str] = {}
        self._retry_at, self._retry_s = 0.0, FIRST_RETRY_S

    @property
    def refused(self) -> Mapping[str, str]:
        """The filters that the broker refused, with its reason."""
        return self._refused

    def connected(self, session_present: bool) -> tuple[list[str], list[str]]:
        """Return the filters to subscribe and those to unsubscribe on a new connection; raises OSError."""
        self._refused, self._retry_s = {}, FIRST_RETRY_S
        held = self._held if session_present else set()
        self._remember({*held, *self._wanted})
        return self._wanted, sorted(held - set(self._wanted))

    def answered(self, results: Mapping[str, str | None], now: float) -> list[str]:
        """Take the broker's answer to each filter, None where granted, and return those refused for the first time."""
        fresh = [one for one, reason in results.items() if reason is not None and one not in self._refused]
        for one, reason in results.items():
            self._refused.pop(one, None)
            if reason is not None:
                self._refused[one] = reason
        if self._refused:
            self._retry_at = now + self._retry_s
            self._retry_s = min(LONGEST_RETRY_S, 2 * self._retry_s)
        return fresh

    def unsubscribed(self, filters: Iterable[str]) -> None:
        """Take the broker's confirmation that it no longer holds these; raises OSError."""
        self._remember(self._held - set(filters))

    def due(self, now: float) -> list[str]:
        """Return the refused filters when it is time to subscribe them again."""
        if not self._refused or now < self._retry_at:
            return []
        self._retry_at = now + self._retry_s
        return list(self._refused)

    def _remember(self, filters: set[str]) -> None:
        if filters != self._held:
            self._held = filters
            self._store.save(filters)
