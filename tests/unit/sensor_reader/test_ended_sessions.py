"""Sessions that no entry has are ended once, with the settings that their file has kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_components.common.health import Counters
from edge_components.common.limited_log import RateLimitedLog
from edge_components.sensor_reader.errors import SourceError
from edge_components.sensor_reader.mqtt.ended_sessions import GIVE_UP_S, EndedSessions
from edge_components.sensor_reader.mqtt.settings import MqttSettings, read_entry
from edge_components.sensor_reader.mqtt.subscriptions import FILE, FilterFile, FilterStore, kept_sessions
from tests.fakes import FakeClock


class FakeConnection:
    """A broker that the test makes reachable."""

    def __init__(self, settings: MqttSettings, store: FilterStore) -> None:
        self.settings, self.store, self.connected, self.state = settings, store, False, "new"

    def start(self) -> None:
        if self.settings.tls:
            raise SourceError("cannot use /ca.pem")
        self.state = "open"

    def take(self) -> list[object]:
        return []

    def health(self) -> Mapping[str, Any]:
        if self.connected:
            self.store.save([])
        return {"connected": self.connected, "failure": "no answer in time"}

    def close(self) -> None:
        self.state = "closed"


class Site:
    """The work folder of a gateway that had three entries."""

    def __init__(self, folder: Path, **keys: Any) -> None:
        self.folder, self.counters, self.clock = folder, Counters(), FakeClock()
        self.connections: list[FakeConnection] = []
        self.entries = {name: read_entry({"host": name, **keys}) for name in ("hall-1", "hall-2", "hall-3")}
        for name, entry in self.entries.items():
            settings = entry.settings.named("gw", name)
            FilterFile(folder / FILE, settings.session, settings.connection).save(["sensors/+/+"])
        self.sessions = self.make()

    def make(self) -> EndedSessions:
        """Return what a new process makes."""
        log = RateLimitedLog(self.counters, logging.getLogger("test"), self.clock)
        return EndedSessions("gw", self.folder, self.clock, log, self._connect)

    def _connect(self, settings: MqttSettings, store: FilterStore) -> FakeConnection:
        self.connections.append(FakeConnection(settings, store))
        return self.connections[-1]

    def use(self, *names: str) -> None:
        self.sessions.update((name, self.entries[name]) for name in names)

    @property
    def kept(self) -> list[str]:
        return sorted(session.split("@")[1] for session in kept_sessions(self.folder / FILE))


def test_the_session_of_an_entry_that_has_gone_is_ended_once_and_the_others_stay(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.use("hall-1", "hall-2", "hall-3")
    assert site.connections == []
    site.use("hall-1", "hall-3")
    (connection,) = site.connections
    assert (connection.settings.host, connection.settings.client_id) == ("hall-2", "strandline-gw-hall-2")
    assert connection.settings.clean_session
    site.sessions.poll()
    assert connection.state == "open"
    connection.connected = True
    site.sessions.poll()
    assert (connection.state, site.kept) == ("closed", ["hall-1:1883", "hall-3:1883"])
    site.use("hall-1", "hall-3")
    assert (len(site.connections), site.counters["mqtt_sessions_ended"]) == (1, 1)


def test_an_entry_whose_broker_changed_leaves_a_session_that_is_ended(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.entries["hall-2"] = read_entry({"host": "elsewhere"})
    site.use("hall-1", "hall-2", "hall-3")
    assert [one.settings.host for one in site.connections] == ["hall-2"]


def test_an_entry_that_is_back_has_its_session_before_the_old_one_was_ended(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.use("hall-1", "hall-3")
    site.use("hall-1", "hall-2", "hall-3")
    assert site.connections[0].state == "closed"
    assert site.kept == ["hall-1:1883", "hall-2:1883", "hall-3:1883"]


def test_a_broker_that_is_away_is_given_up_until_the_next_start(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.use("hall-1", "hall-3")
    site.clock.advance(GIVE_UP_S)
    site.sessions.poll()
    site.use("hall-1", "hall-3")
    assert (site.connections[0].state, len(site.connections), site.counters["mqtt_sessions_kept"]) == ("closed", 1, 1)
    site.sessions = site.make()
    site.use("hall-1", "hall-3")
    assert len(site.connections) == 2
    site.sessions.close()
    assert site.connections[1].state == "closed"
    assert "hall-2:1883" in site.kept


def test_settings_that_cannot_be_used_are_reported(tmp_path: Path) -> None:
    site = Site(tmp_path, tls=True)
    site.use("hall-1", "hall-2")
    assert site.counters["mqtt_sessions_kept"] == 1


def test_files_of_earlier_versions_are_read(tmp_path: Path) -> None:
    file = tmp_path / FILE
    file.write_text('{"strandline-gw-mqtt@127.0.0.1:1883": ["sensors/+/+", 5], "x": 1}')
    assert FilterFile(file, "strandline-gw-mqtt@127.0.0.1:1883").load() == {"sensors/+/+"}
    assert kept_sessions(file) == {}
