"""End persistent sessions that no entry uses: the entry was removed, or its name or broker was changed.

A broker keeps such a session, and queues publications for it, until a client with its name connects and requests a new
one. The reader does that once, with the settings that are stored in the file of sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edge_components.common.config import load
from edge_components.common.errors import ConfigError
from edge_components.common.limited_log import RateLimitedLog
from edge_components.common.ports import Clock
from edge_components.sensor_reader.errors import SourceError
from edge_components.sensor_reader.mqtt.settings import MqttEntry, MqttSettings
from edge_components.sensor_reader.mqtt.subscriptions import FILE, FilterFile, FilterStore, kept_sessions

GIVE_UP_S = 3_600.0
"""After this time the broker is not tried again before the next start."""


class Connection(Protocol):
    """See :class:`edge_components.sensor_reader.mqtt.connection.MqttConnection`."""

    def start(self) -> None:
        """Begin to connect; raises SourceError for files that cannot be used."""

    def take(self) -> object:
        """Drop what has arrived."""

    def health(self) -> Mapping[str, Any]:
        """Return ``connected`` and the ``failure``."""

    def close(self) -> None:
        """Disconnect."""


Connect = Callable[[MqttSettings, FilterStore], Connection]


@dataclass(frozen=True, slots=True)
class _Ending:
    """A connection that asks the broker for a new session, begun at ``since`` (monotonic seconds)."""

    connection: Connection
    since: float


class EndedSessions:
    """The sessions in the file of the work folder that are not in use; every method is called on the loop."""

    def __init__(self, gateway: str, work: Path, clock: Clock, log: RateLimitedLog, connect: Connect) -> None:
        self._gateway, self._file, self._clock, self._log, self._connect = gateway, work / FILE, clock, log, connect
        self._ending: dict[str, _Ending] = {}
        self._given_up: set[str] = set()

    def update(self, entries: Iterable[tuple[str, Any]]) -> None:
        """Begin to end each session in the file that none of the entries, names with their settings, has."""
        used = {
            settings.settings.named(self._gateway, name).session
            for name, settings in entries
            if isinstance(settings, MqttEntry)
        }
        for session in used & set(self._ending):
            self._ending.pop(session).connection.close()
        kept = kept_sessions(self._file)
        for session in kept.keys() - used - self._ending.keys() - self._given_up:
            self._begin(session, kept[session])

    def poll(self) -> None:
        """Close the connections whose session has ended, and those that failed for GIVE_UP_S."""
        for session, ending in list(self._ending.items()):
            ending.connection.take()
            health = ending.connection.health()
            if health["connected"]:
                self._log.info("mqtt_sessions_ended", f"{session} is not in use any more", key=session)
            elif self._clock.monotonic() - ending.since >= GIVE_UP_S:
                self._log.warning("mqtt_sessions_kept", f"{session} cannot be ended: {health['failure']}", key=session)
                self._given_up.add(session)
            else:
                continue
            del self._ending[session]
            ending.connection.close()

    def close(self) -> None:
        """Close all connections; sessions that have not ended are tried again after the next start."""
        for ending in self._ending.values():
            ending.connection.close()
        self._ending.clear()

    def _begin(self, session: str, values: Mapping[str, Any]) -> None:
        try:
            settings = load(MqttSettings, {**values, "clean_session": True})
            connection = self._connect(settings, FilterFile(self._file, session))
            connection.start()
        except (ConfigError, SourceError) as error:
            self._log.warning("mqtt_sessions_kept", f"{session} cannot be ended: {error}", key=session)
            self._given_up.add(session)
        else:
            self._ending[session] = _Ending(connection, self._clock.monotonic())
