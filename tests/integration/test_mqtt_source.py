"""Tests of the MQTT source with mosquitto: rejected, retained and resent messages of a real broker."""

from __future__ import annotations

import base64
import contextlib
import getpass
import hashlib
import json
import logging
import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from device_sim.chaos.certificates import Authority
from device_sim.simulation.sensor_broker import find_mosquitto, free_port
from edge_components.common.health import Counters
from edge_components.common.limited_log import RateLimitedLog
from edge_components.sensor_reader.mqtt.connection import CREDENTIAL_CHECK_S, MqttConnection
from edge_components.sensor_reader.mqtt.ended_sessions import EndedSessions
from edge_components.sensor_reader.mqtt.settings import MqttSettings, read_entry
from edge_components.sensor_reader.mqtt.subscriptions import (
    FILE,
    FIRST_RETRY_S,
    FilterFile,
    FilterStore,
    kept_sessions,
)
from tests.unit.sensor_reader.fakes import Filters
from tests.unit.sensor_reader.mqtt_site import DEADLINE, Site
from tests.waiting import pause, until

pytestmark = pytest.mark.skipif(
    find_mosquitto() is None, reason="mosquitto is not installed (apt-get install mosquitto)"
)
PLUGIN = next(Path("/usr/lib").glob("*/mosquitto_dynamic_security.so"), None)


@contextlib.contextmanager
def mosquitto(folder: Path, *lines: str, port: int = 0) -> Iterator[int]:
    """Run a broker with these settings besides its defaults, and return its port."""
    port = port or free_port()
    folder.mkdir(exist_ok=True)
    configuration = folder / "mosquitto.conf"
    configuration.write_text("\n".join((f"listener {port} 127.0.0.1", f"user {getpass.getuser()}", *lines, "")))
    with (folder / "mosquitto.log").open("ab") as log:
        process = subprocess.Popen([str(find_mosquitto()), "-v", "-c", str(configuration)], stdout=log, stderr=log)
    try:
        log_text = (folder / "mosquitto.log").read_text
        until(lambda: "running" in log_text() or process.poll() is not None, log_text)
        assert process.poll() is None, log_text()
        yield port
    finally:
        process.terminate()
        process.wait(DEADLINE)


@contextlib.contextmanager
def websockets(folder: Path, *lines: str) -> Iterator[int]:
    """Run a broker that also listens for WebSockets, and return the port of those.

    mosquitto 2.0.11 does not start with a listener for WebSockets alone.
    """
    port = free_port()
    listener = (f"listener {port} 127.0.0.1", "protocol websockets", *lines)
    with mosquitto(folder, "allow_anonymous true", *listener):
        yield port


def tls(pair_folder: Authority, name: str = "localhost", days: int = 30) -> tuple[str, ...]:
    """Return the settings of a broker with a certificate of this authority."""
    server = pair_folder.server(name, days)
    return ("allow_anonymous true", f"certfile {server.cert}", f"keyfile {server.key}", f"cafile {pair_folder.ca}")


def password_line(user: str, password: str) -> str:
    """Return a line of mosquitto's password file."""
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"{user}:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}\n"


def failure_of(site: Site, counter: str) -> str:
    """Connect without success, and return the failure that the health report has."""
    site.source.start()
    try:
        site.poll_until(lambda: site.counters[counter] >= 1)
        return str(site.source.health()["failure"])
    finally:
        site.source.close()


@pytest.mark.source_quality("secure", "mqtt")
@pytest.mark.parametrize(
    ("name", "days", "foreign", "cause"),
    [
        ("localhost", -1, False, "has expired"),
        ("elsewhere", 30, False, "is for another"),
        ("localhost", 30, True, "is signed by an authority that is not trusted"),
    ],
)
def test_a_certificate_that_does_not_verify_is_named_as_that(
    tmp_path: Path, name: str, days: int, foreign: bool, cause: str
) -> None:
    authority = Authority(tmp_path / "authority")
    trusted = Authority(tmp_path / "other", "Another authority") if foreign else authority
    with mosquitto(tmp_path / "broker", *tls(authority, name, days)) as port:
        site = Site(port, tls=True, ca_file=str(trusted.ca))
        failure = failure_of(site, "mqtt_tls_failed")
    assert failure.startswith("the broker's certificate is not accepted")
    assert cause in failure
    assert site.counters["mqtt_unreachable"] == 0


def test_a_port_without_tls_and_a_client_without_certificate_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    with mosquitto(tmp_path / "plain", "allow_anonymous true") as port:
        failure = failure_of(Site(port, tls=True, ca_file=str(authority.ca)), "mqtt_tls_failed")
        assert "speak TLS on this port" in failure
    with mosquitto(tmp_path / "strict", *tls(authority), "require_certificate true") as port:
        failure = failure_of(Site(port, tls=True, ca_file=str(authority.ca)), "mqtt_tls_failed")
        # The broker's reason is lost where it resets the connection before the client has read it.
        assert "a client certificate" in failure


def test_a_host_name_that_does_not_resolve_is_named() -> None:
    assert "cannot be resolved" in failure_of(Site(1883, host="no-such-host.invalid"), "mqtt_dns_failed")


def test_a_wrong_password_is_named_and_a_replaced_password_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "users").write_text(password_line("gw", "right"))
    secret = tmp_path / "password"
    secret.write_text("wrong\n")
    with mosquitto(tmp_path / "broker", f"password_file {tmp_path / 'users'}") as port:
        site = Site(port, username="gw", password_file=str(secret))
        site.source.start()
        site.poll_until(lambda: site.counters["mqtt_refused"] >= 1)
        assert "ot authori" in site.source.health()["failure"]
        secret.write_text("right\n")
        site.poll_until(lambda: site.counters["mqtt_connected"] >= 1)
        site.source.close()
    assert "failure" not in site.source.health()


def test_a_replaced_client_certificate_is_used_without_a_restart(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    first, second = authority.gateway("gw-old"), authority.gateway("gw-new")
    used = {"cert_file": tmp_path / "gw.pem", "key_file": tmp_path / "gw.key"}
    for name, source in (("cert_file", first.cert), ("key_file", first.key)):
        used[name].write_bytes(source.read_bytes())
    lines = (*tls(authority)[1:], "require_certificate true", "use_identity_as_username true")
    with mosquitto(tmp_path / "broker", *lines) as port:
        site = Site(
            port, tls=True, ca_file=str(authority.ca), cert_file=str(used["cert_file"]), key_file=str(used["key_file"])
        )
        site.source.start()
        site.poll_until(lambda: site.counters["mqtt_connected"] == 1)
        used["key_file"].write_bytes(second.key.read_bytes())  # alone it does not fit: the connection stays
        site.clock.advance(CREDENTIAL_CHECK_S)
        site.poll_until(lambda: site.counters["mqtt_credentials_failed"] == 1)
        assert site.source.health()["connected"]
        used["cert_file"].write_bytes(second.cert.read_bytes())
        site.clock.advance(CREDENTIAL_CHECK_S)
        site.poll_until(lambda: site.counters["mqtt_connected"] == 2)
        site.source.close()
    assert site.counters["mqtt_credentials_replaced"] == 1
    assert "u'gw-new'" in (tmp_path / "broker" / "mosquitto.log").read_text()


@pytest.mark.skipif(PLUGIN is None, reason="mosquitto's dynamic security plugin is not installed")
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_rejected_subscription_is_reported_and_retried_without_affecting_others(tmp_path: Path, version: str) -> None:
    rule = {"acltype": "subscribePattern", "topic": "secret/#", "priority": 1, "allow": False}
    access = {"publishClientSend": True, "publishClientReceive": True, "subscribe": True, "unsubscribe": True}
    policy = {
        "defaultACLAccess": access,
        "anonymousGroup": "everyone",
        "groups": [{"groupname": "everyone", "roles": [{"rolename": "limited"}], "clients": []}],
        "roles": [{"rolename": "limited", "acls": [rule]}],
        "clients": [],
    }
    (tmp_path / "policy.json").write_text(json.dumps(policy))
    lines = ("allow_anonymous true", f"plugin {PLUGIN}", f"plugin_opt_config_file {tmp_path / 'policy.json'}")
    topics = ("sensors/{device}/{channel}", "secret/{device}")
    with mosquitto(tmp_path / "broker", *lines) as port:
        site = Site(port, topics=topics, version=version)
        site.open()
        assert site.counters["mqtt_subscription_rejected"] == 1
        assert list(site.source.health()["refused_subscriptions"]) == ["secret/+"]
        site.clock.advance(FIRST_RETRY_S)
        site.poll_until(lambda: site.counters["mqtt_subscription_rejected"] == 2)
        site.publish("sensors/a/x", "1")
        site.poll_until(lambda: bool(site.sink.readings))
        site.source.close()


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_pattern_that_is_removed_is_unsubscribed_also_over_a_restart(tmp_path: Path, version: str) -> None:
    file = tmp_path / "subscriptions.json"
    with mosquitto(tmp_path / "broker", "allow_anonymous true") as port:
        both = Site(port, FilterFile(file, "s"), topics=("sensors/{device}/{channel}", "old/{device}"), version=version)
        both.open()
        both.publish("old/pump", "1")
        both.poll_until(lambda: bool(both.sink.readings))
        both.close()
        assert FilterFile(file, "s").load() == {"sensors/+/+", "old/+"}
        one = Site(port, FilterFile(file, "s"), version=version)
        one.source.start()
        one.poll_until(lambda: one.counters["mqtt_unsubscribed"] == 1)
        assert FilterFile(file, "s").load() == {"sensors/+/+"}
        one.sensor.connect("127.0.0.1", port)
        one.sensor.loop_start()
        one.publish("old/pump", "2")
        one.publish("sensors/pump/x", "3")
        one.poll_until(lambda: bool(one.sink.readings))
        one.close()
    assert [name for name, _, _ in one.sink.readings] == ["pump.x"]
    assert one.sink.rejected == []


@pytest.mark.source_quality("secure", "mqtt")
@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.parametrize("encrypted", [False, True])
def test_readings_come_over_websockets(tmp_path: Path, version: str, encrypted: bool) -> None:
    authority = Authority(tmp_path / "authority")
    keys: dict[str, Any] = {"tls": True, "ca_file": str(authority.ca), "host": "localhost"} if encrypted else {}
    with websockets(tmp_path / "broker", *(tls(authority)[1:] if encrypted else ())) as port:
        tcp = int((tmp_path / "broker" / "mosquitto.conf").read_text().split()[1])
        site = Site(port, transport="websockets", version=version, max_payload_bytes=200_000, **keys)
        site.source.start()
        site.sensor.connect("127.0.0.1", tcp)
        site.sensor.loop_start()
        site.poll_until_counted("mqtt_connected", 1)
        site.poll_until(site._probe_arrived)
        site.clear()
        for at in range(300):
            site.sensor.publish("sensors/pump/x", str(at), qos=1)
        site.poll_until(lambda: len(site.sink.readings) == 300)
        assert [value for _, _, value in site.sink.readings] == [float(at) for at in range(300)]
        site.publish("sensors/pump/x", json.dumps({"value": 7, "note": "x" * 150_000}))
        site.poll_until(lambda: len(site.sink.readings) == 301)
        assert site.source.health()["connected"]
        site.close()


def test_a_port_and_a_path_without_websockets_are_named(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker", "allow_anonymous true") as port:
        failure = failure_of(Site(port, transport="websockets"), "mqtt_websocket_failed")
        assert failure.startswith("no WebSocket")
    with websockets(tmp_path / "both") as port:
        failure = failure_of(Site(port, transport="websockets", tls=True), "mqtt_tls_failed")
        assert failure


@pytest.mark.parametrize("version", ["auto", "3.1.1"])
def test_the_session_of_a_removed_entry_is_ended_on_its_broker(tmp_path: Path, version: str) -> None:
    with mosquitto(tmp_path / "broker", "allow_anonymous true") as port:
        values = {"port": port, "version": version, "topics": ["sensors/{device}/{channel}"]}
        entry = read_entry(values).settings.named("gw", "hall")
        store = FilterFile(tmp_path / FILE, entry.session, entry.connection)
        before = Site(port, store, version=version, client_id=entry.client_id)
        before.open()
        before.source.close()
        assert kept_sessions(tmp_path / FILE).keys() == {entry.session}
        counters, clock = Counters(), before.clock
        log = RateLimitedLog(counters, logging.getLogger("test"), clock)

        def connect(settings: MqttSettings, filters: FilterStore) -> MqttConnection:
            return MqttConnection(settings, [], filters, clock, log, lambda: None, lambda: 1.0)

        ended = EndedSessions("gw", tmp_path, clock, log, connect)
        ended.update([("hall", read_entry(values))])  # in use: it stays
        ended.poll()
        ended.update([("other", read_entry({"port": port}))])

        def work() -> None:
            ended.poll()
            pause(0.01)

        until(lambda: counters["mqtt_sessions_ended"] >= 1, "the session ends", DEADLINE, work)
        ended.close()
        assert kept_sessions(tmp_path / FILE) == {}
        before.publish("sensors/pump/x", "1")
        again = Site(port, Filters(), version=version, client_id=entry.client_id)
        again.source.start()
        again.sensor.connect("127.0.0.1", port)
        again.sensor.loop_start()
        again.poll_until(again._probe_arrived)
        again.close()
        before.close()
    assert {name for name, _, _ in again.sink.readings} == {"probe.x"}


def test_publications_queued_with_qos_1_are_acknowledged_after_the_qos_is_lowered(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker", "allow_anonymous true") as port:
        first = Site(port, version="3.1.1")
        first.open()
        first.source.close()
        for at in range(300):
            first.publish("sensors/pump/x", str(at))
        lowered = Site(port, version="3.1.1", qos=0)
        lowered.source.start()
        lowered.poll_until(lambda: len(lowered.sink.readings) >= 300)
        lowered.close()
        assert [value for _, _, value in lowered.sink.readings] == [float(at) for at in range(300)]
        again = Site(port, version="3.1.1", qos=0)
        again.open()
        again.close()
        first.close()
    assert again.sink.readings == []


def _has_received(site: Site, count: int) -> bool:
    return len(site.sink.readings) >= count


def _has_pending_or_all(site: Site, count: int) -> bool:
    return bool(site.sink.pending) or len(site.sink.readings) == count


def test_the_broker_with_default_settings_grants_the_requested_window(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker", "allow_anonymous true") as port:
        for version, window in (("5", 200), ("3.1.1", 20)):
            site = Site(port, Filters(), version=version, inflight=200, client_id=f"window-{version}")
            site.open()
            site.sink.pending = []
            for at in range(250):
                site.publish("sensors/pump/x", str(at))
            site.poll_until(partial(_has_received, site, window))
            assert len(site.sink.readings) == window
            assert site.source.blocked() == (version == "5")
            site.clock.advance(1.0)
            assert site.source.blocked()
            while len(site.sink.readings) < 250:
                for acknowledge in site.sink.pending:
                    acknowledge()
                site.sink.pending = []
                site.poll_until(partial(_has_pending_or_all, site, 250))
            site.close()
