"""Real publications over a real broker become readings, and junk disturbs nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device_sim.simulation.sensor_broker import BrokerKind, SensorBroker, find_mosquitto, free_port
from edge_components.sensor_reader.errors import SourceError
from edge_components.sensor_reader.mqtt import connection
from tests.unit.sensor_reader.mqtt_site import DEADLINE, Site
from tests.waiting import until


@pytest.fixture(params=list(BrokerKind))
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SensorBroker]:
    if request.param is BrokerKind.MOSQUITTO and find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    with SensorBroker(tmp_path, kind=request.param) as running:
        yield running


@pytest.fixture
def site(broker: SensorBroker) -> Iterator[Site]:
    made = Site(broker.port, max_payload_bytes=1_000)
    made.open()
    yield made
    made.close()


@pytest.mark.source_quality("times", "mqtt")
@pytest.mark.source_quality("independent", "mqtt")
@pytest.mark.source_quality("peer", "mqtt")
def test_publications_in_every_form_become_readings(site: Site) -> None:
    now = site.clock.wall_ms()
    site.publish("sensors/pump-1/temperature", "21.5")
    site.publish("sensors/pump-1/temperature", json.dumps({"value": 22, "time": now - 5}))
    site.publish("sensors/pump-1/pressure", json.dumps({"value": -3e-7, "time": "2023-11-14T22:13:20+00:00"}))
    site.poll_until(lambda: len(site.sink.readings) == 3)
    assert site.sink.readings == [
        ("pump-1.temperature", now, 21.5),
        ("pump-1.temperature", now - 5, 22.0),
        ("pump-1.pressure", 1_700_000_000_000, -3e-7),
    ]


def test_invalid_payloads_are_counted_by_reason_and_later_ones_are_read(site: Site) -> None:
    junk = {
        "rejected_json": b"\xff{",
        "rejected_value": b'{"value": "warm"}',
        "rejected_not_finite": b"NaN",
        "rejected_range": b"9" * 400,
        "rejected_time": b'{"value": 1, "time": "noon"}',
        "rejected_size": b"1" * 1_001,
    }
    for payload in junk.values():
        site.publish("sensors/a/b", payload)
    site.publish("sensors/a/b", b"5")
    site.poll_until(lambda: bool(site.sink.readings))
    assert [value for _, _, value in site.sink.readings] == [5.0]
    assert [reason for reason, _ in site.sink.rejected] == list(junk)
    assert all("'sensors/a/b'" in text and len(text) < 600 for _, text in site.sink.rejected)


def test_a_retained_payload_counts_only_with_its_time(broker: SensorBroker) -> None:
    site = Site(broker.port)
    site.sensor.connect("127.0.0.1", broker.port)
    site.sensor.loop_start()
    now = site.clock.wall_ms()
    site.publish("sensors/old/a", "1", retain=True)
    site.publish("sensors/old/b", json.dumps({"value": 2, "time": now}), retain=True)
    site.source.start()
    site.poll_until(lambda: bool(site.sink.rejected and site.sink.readings))
    site.close()
    assert site.sink.readings == [("old.b", now, 2.0)]
    assert [reason for reason, _ in site.sink.rejected] == ["rejected_retained"]


def test_a_topic_of_any_letters_is_escaped_and_one_that_is_too_long_rejected(broker: SensorBroker) -> None:
    site = Site(broker.port, topics=["sensors/{device}/{channel}", "{line}/+/state"])
    site.open()
    site.publish("l1/x/state", "1")
    site.publish("sensors/Kühlraum 1/c", "1")
    site.publish(f"sensors/{'x' * 128}/c", "1")
    site.publish("sensors/ok/c", "2")
    site.poll_until(lambda: len(site.sink.readings) == 3)
    site.close()
    assert {name for name, _, _ in site.sink.readings} == {"l1", "K_fc_hlraum_1.c", "ok.c"}
    assert [reason for reason, _ in site.sink.rejected] == ["rejected_name"]


@pytest.mark.source_quality("unreachable", "mqtt")
@pytest.mark.source_quality("reconnects", "mqtt")
def test_it_connects_when_the_broker_starts_and_reconnects_after_a_restart(tmp_path: Path) -> None:
    port = free_port()
    site = Site(port)
    site.source.start()
    site.poll_until(lambda: site.counters["mqtt_unreachable"] >= 1)
    for times in (1, 2):
        with SensorBroker(tmp_path / str(times), port=port):
            site.poll_until_counted("mqtt_connected", times)
        site.poll_until_counted("mqtt_disconnected", times)
    site.source.close()


def test_closing_while_the_broker_is_away_ends_the_thread() -> None:
    site = Site(free_port())
    site.source.start()
    site.poll_until(lambda: site.counters["mqtt_unreachable"] >= 1)
    site.source.close()
    assert "mqtt" not in [thread.name for thread in threading.enumerate()]
    site.source.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"tls": True, "ca_file": "/no/such/ca.pem"},
        {"username": "u", "password_file": "/no/such/password"},
        {"tls": True, "cert_file": __file__, "key_file": __file__},
    ],
)
def test_files_that_cannot_be_used_are_named(changes: dict[str, Any]) -> None:
    site = Site(1883, **changes)
    with pytest.raises(SourceError, match="mqtt: cannot use /"):
        site.source.start()
    site.source.close()


def test_publications_wait_at_the_broker_while_the_loop_is_busy(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_WAITING_BYTES", 500)
    for at in range(3_000):
        site.sensor.publish("sensors/a/b", str(at), qos=1)
    until(lambda: site.counters["mqtt_paused"] >= 1, "the source pauses", DEADLINE)
    site.poll_until(lambda: len(site.sink.readings) >= 3_000)
    assert [value for _, _, value in site.sink.readings] == [float(at) for at in range(3_000)]


def test_a_large_payload_is_skipped_and_acknowledged(site: Site) -> None:
    site.publish("sensors/a/b", b"1" * 200_000)
    site.publish("sensors/a/b", b"2")
    site.poll_until(lambda: bool(site.sink.readings))
    assert [reason for reason, _ in site.sink.rejected] == ["rejected_size"]


def test_an_empty_payload_is_counted_and_not_rejected(site: Site) -> None:
    site.publish("sensors/a/b", b"", retain=True)
    site.publish("sensors/a/b", b"2")
    site.poll_until(lambda: bool(site.sink.readings))
    assert site.sink.rejected == []
    assert site.counters["payloads_empty"] == 1


def test_the_loop_is_woken_when_a_window_is_full(site: Site) -> None:
    site.source._connection.wake_after(3)
    site.woken.clear()
    for at in range(3):
        site.sensor.publish("sensors/a/b", str(at), qos=1)
    assert site.woken.wait(DEADLINE)  # the clock does not advance: the number of publications was the reason
    site.poll_until(lambda: len(site.sink.readings) == 3)
