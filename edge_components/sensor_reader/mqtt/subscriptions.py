"""Subscriptions of a persistent MQTT session, including those of earlier processes, and rejected subscriptions.

A broker keeps the topic filters of a session when the client disconnects. A filter that was removed from the
configuration must be unsubscribed, otherwise its publications continue to arrive; so filters are stored on disk before
they are subscribed.
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
"""Lock of the file, which the connections of several brokers write."""


class FilterStore(Protocol):
    """The store of a session's topic filters."""

    def load(self) -> set[str]:
        """Return the filters that the broker may have."""

    def save(self, filters: Iterable[str]) -> None:
        """Store filters; raises OSError."""


class FilterFile:
    """Filters of one session in a JSON file shared by all sessions; a damaged file counts as empty."""

    def __init__(self, path: Path, session: str) -> None:
        self._path, self._session = path, session

    def load(self) -> set[str]:
        """Return the filters that the broker may have."""
        filters = self._sessions().get(self._session, [])
        return {one for one in filters if isinstance(one, str)} if isinstance(filters, list) else set()

    def save(self, filters: Iterable[str]) -> None:
        """Store filters; raises OSError."""
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
    """State of one session's subscriptions. Pure except for its store."""

    def __init__(self, wanted: Iterable[str], store: FilterStore) -> None:
        self._wanted, self._store = list(dict.fromkeys(wanted)), store
        self._held = store.load()
        """Filters that the broker may have, as stored on disk."""
        self._refused: dict[str, str] = {}
        self._retry_at, self._retry_s = 0.0, FIRST_RETRY_S

    @property
    def refused(self) -> Mapping[str, str]:
        """Filters that the broker rejected, with the reason."""
        return self._refused

    def connected(self, session_present: bool) -> tuple[list[str], list[str]]:
        """Return the filters to subscribe and those to unsubscribe on a new connection; raises OSError."""
        self._refused, self._retry_s = {}, FIRST_RETRY_S
        held = self._held if session_present else set()
        self._save({*held, *self._wanted})
        return self._wanted, sorted(held - set(self._wanted))

    def answered(self, results: Mapping[str, str | None], now: float) -> list[str]:
        """Record the broker's result for each filter (None: granted) and return those rejected for the first time."""
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
        """Record that the broker has removed these filters; raises OSError."""
        self._save(self._held - set(filters))

    def due(self, now: float) -> list[str]:
        """Return the rejected filters when their next attempt is due."""
        if not self._refused or now < self._retry_at:
            return []
        self._retry_at = now + self._retry_s
        return list(self._refused)

    def _save(self, filters: set[str]) -> None:
        if filters != self._held:
            self._held = filters
            self._store.save(filters)
