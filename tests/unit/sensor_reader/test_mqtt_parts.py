"""Parts of an MQTT connection: classification of failures, credential files, stored filters."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from edge_components.common.errors import CredentialsError
from edge_components.common.mqtt.credentials import CredentialFiles
from edge_components.common.mqtt.failures import (
    HandshakeError,
    HandshakeTimeoutError,
    connection_failure,
    unanswered_failure,
)
from edge_components.sensor_reader.errors import ProtocolError
from edge_components.sensor_reader.mqtt.subscriptions import (
    FIRST_RETRY_S,
    LONGEST_RETRY_S,
    FilterFile,
    Subscriptions,
)
from tests.unit.sensor_reader.fakes import Filters


@pytest.mark.parametrize(
    ("error", "counter"),
    [
        (socket.gaierror(-2, "Name or service not known"), "mqtt_dns_failed"),
        (TimeoutError("timed out"), "mqtt_timeout"),
        (ConnectionRefusedError(111, "Connection refused"), "mqtt_unreachable"),
        (OSError(113, "No route to host"), "mqtt_unreachable"),
        (ConnectionResetError("reset"), "mqtt_unreachable"),
        (ssl.SSLError(1, "bad"), "mqtt_tls_failed"),
        (HandshakeError("closed"), "mqtt_tls_failed"),
        (HandshakeTimeoutError(8.0), "mqtt_timeout"),
        (ProtocolError("QoS 3"), "mqtt_errors"),
    ],
)
def test_each_failure_has_a_counter_and_a_cause(error: Exception, counter: str) -> None:
    failure = connection_failure(error)
    assert failure.counter == counter
    assert failure.text


@pytest.mark.parametrize("error", [None, ConnectionResetError("reset"), BrokenPipeError("broken")])
def test_a_broker_that_closes_after_the_handshake_may_require_a_certificate(error: Exception | None) -> None:
    failure = unanswered_failure(error, tls=True, has_certificate=False)
    assert failure.counter == "mqtt_tls_failed"
    assert "may require a client certificate (cert_file)" in failure.text


def test_a_broker_that_closes_without_an_answer_is_unreachable_where_no_certificate_can_be_missing() -> None:
    assert unanswered_failure(None, tls=False, has_certificate=False).counter == "mqtt_unreachable"
    assert unanswered_failure(ConnectionResetError(), tls=True, has_certificate=True).counter == "mqtt_unreachable"
    named = ssl.SSLError(1, "x")
    named.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    assert "requires a client certificate" in unanswered_failure(named, tls=True, has_certificate=False).text


def test_a_replaced_file_has_other_stamps_and_a_missing_one_is_named(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    files = CredentialFiles(False, "", "", "", str(secret))
    with pytest.raises(CredentialsError, match=r"mqtt: cannot use .*password"):
        files.load()
    secret.write_text("one\n")
    first = files.load()
    assert (first.password, first.context) == ("one", None)
    other = tmp_path / "other"
    other.write_text("two\n")
    other.replace(secret)
    assert files.stamps() != first.stamps


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"s": 5}', b'{"s": [1, "a/+"]}', b"\xff"])
def test_a_damaged_file_of_filters_is_replaced(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "subscriptions.json"
    path.write_bytes(damage)
    store = FilterFile(path, "s")
    assert store.load() <= {"a/+"}
    store.save(["b/+"])
    FilterFile(path, "t").save(["c"])
    assert FilterFile(path, "s").load() == {"b/+"}
    assert FilterFile(path, "t").load() == {"c"}


def test_filters_are_remembered_before_they_are_subscribed_and_forgotten_only_when_confirmed() -> None:
    store = Filters({"old/+", "stays/+"})
    subscriptions = Subscriptions(["stays/+", "new/+"], store)
    assert subscriptions.connected(session_present=True) == (["stays/+", "new/+"], ["old/+"])
    assert store.filters == {"old/+", "stays/+", "new/+"}
    subscriptions.unsubscribed(["old/+"])
    assert store.filters == {"stays/+", "new/+"}


def test_a_rejected_filter_is_retried_with_backoff_until_it_is_granted() -> None:
    subscriptions = Subscriptions(["a", "b"], Filters())
    subscriptions.connected(session_present=False)
    now, waits = 0.0, []
    subscriptions.answered({"a": "Not authorized", "b": None}, now)
    for _ in range(8):
        wait = next(step for step in range(1, 1_000) if subscriptions.due(now + step))
        waits.append(wait)
        now += wait
        subscriptions.answered({"a": "Not authorized"}, now)
    assert waits[0] == FIRST_RETRY_S
    assert waits[-1] == LONGEST_RETRY_S
    assert waits == sorted(waits)
    subscriptions.answered({"a": None}, now)
    assert (dict(subscriptions.refused), subscriptions.due(now + 1_000)) == ({}, [])
