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
from typing import Any, Protocol

from edge_components.common.files import replace_file

FILE = "mqtt-subscriptions.json"
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
    """The filters of one session in a JSON file that other sessions share; a damaged file holds nothing.

    ``settings`` are kept with them, to end the session when no entry has it any more. Earlier versions wrote a list of
    filters without settings.
    """

    def __init__(self, path: Path, session: str, settings: Mapping[str, Any] | None = None) -> None:
        self._path, self._session, self._settings = path, session, settings

    def load(self) -> set[str]:
        """Return the filters that the broker may hold."""
        found = _sessions(self._path).get(self._session, [])
        filters = found.get("filters") if isinstance(found, dict) else found
        return {one for one in filters if isinstance(one, str)} if isinstance(filters, list) else set()

    def save(self, filters: Iterable[str]) -> None:
        """Remember filters, or drop the session if it has no filter; raises OSError where that fails."""
        with _FILE_LOCK:
            sessions = _sessions(self._path)
            sessions.pop(self._session, None)
            if names := sorted(filters):
                kept: dict[str, Any] = {"filters": names}
                sessions[self._session] = kept | ({"settings": dict(self._settings)} if self._settings else {})
            replace_file(self._path, json.dumps(sessions).encode())


def kept_sessions(path: Path) -> dict[str, Mapping[str, Any]]:
    """Return the settings of the sessions in a file, by the name of the session."""
    found = {name: session.get("settings") for name, session in _sessions(path).items() if isinstance(session, dict)}
    return {name: settings for name, settings in found.items() if isinstance(settings, dict)}


def _sessions(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
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
