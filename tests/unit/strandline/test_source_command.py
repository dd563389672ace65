"""``strandline source`` prints the readings of an entry, a mapping or a broker's payloads, and the rejections."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from edge_components.common.config import load
from edge_components.sensor_reader.config import Config
from edge_components.sensor_reader.mapping.bindings import read_bindings
from edge_components.sensor_reader.mapping.decoder import Decoder
from strandline.errors import CommandError
from strandline.sources.broker import PASSWORD_VARIABLE, connection_keys, read_password
from strandline.sources.learn import configuration, propose
from strandline.sources.trial import TextReport, try_payload
from tests.command_line import invoke
from tests.unit.sensor_reader.preset_samples import SAMPLES, encoded

NOW_MS = 1_700_000_000_000


def tried(document: dict[str, Any], topic: str, payload: bytes) -> list[str]:
    shown: list[str] = []
    try_payload(document, topic, payload, NOW_MS, TextReport(shown.append))
    return shown


def test_a_mapping_is_tried_on_a_payload() -> None:
    document = {"topics": [{"topic": "hall/{device}", "value": ["t", "h"], "fields": {"t": {"unit": "Cel"}}}]}
    assert tried(document, "hall/a", b'{"t": "21.5", "h": "wet", "time": 1699999990000}') == [
        "a.t = 21.5 Cel at 2023-11-14T22:13:10.000Z, good",
        "rejected_value: h: the value 'wet' is not a number",
    ]
    with pytest.raises(CommandError, match="no pattern of the entry matches"):
        tried(document, "elsewhere", b"1")
    with pytest.raises(CommandError, match="topics: 5 is not allowed"):
        tried({"topics": 5}, "a", b"1")


def test_the_command_tries_a_preset_on_a_file(tmp_path: Path) -> None:
    topic, payload, expected, _source = SAMPLES["zigbee2mqtt"][0]
    (tmp_path / "payload").write_bytes(encoded(payload))
    run = invoke(
        ["source", "try", "--preset", "zigbee2mqtt", "--topic", topic, "--payload", str(tmp_path / "payload")],
    )
    assert run.exit_code == 0, run.output
    assert [text.split(" = ")[0] for text in run.output.splitlines()] == list(expected)


def test_the_command_tests_an_entry_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("timestamp,v\n2023-11-14T22:13:10Z,1.5\nnever,2\n")
    entry_file = tmp_path / "entry.json"
    entry_file.write_text(json.dumps({"kind": "replay", "file": str(tmp_path / "data.csv"), "speed": 0}))
    run = invoke(["source", "test", str(entry_file), "--once", "--seconds", "10"])
    assert run.exit_code == 0, run.output
    assert "trial.v = 1.5 at 2023-11-14T22:13:10.000Z, good" in run.output


def test_an_entry_without_readings_ends_with_an_error(tmp_path: Path) -> None:
    entry_file = tmp_path / "entry.yaml"
    entry_file.write_text(f"kind: replay\nfile: {tmp_path}/none.csv\n")
    run = invoke(["source", "test", str(entry_file), "--seconds", "0.3"])
    assert run.exit_code == 1


def test_proposals_read_every_payload_that_they_were_made_of() -> None:
    payloads = {
        "zigbee2mqtt/cellar": b'{"temperature": 12.4, "linkquality": 99}',
        "plant/line1/pump": b'{"flow": 1.5, "temp": 20, "id": "x"}',
        "plant/line2/pump": b'{"flow": 2.5, "temp": 21, "id": "y"}',
        "plain/a": b"21.5",
        "plain/b": b"22.5",
        "influx/x": b"weather,place=n temp=1.5",
        "text/x": b"hello",
    }
    proposals, unread = propose(payloads)
    assert unread == ["text/x"]
    assert {"topic": "zigbee2mqtt/{device}", "preset": "zigbee2mqtt"} in proposals
    assert {"topic": "plant/{level2}/pump", "value": ["flow", "temp"]} in proposals
    document = configuration({"host": "127.0.0.1", "port": 1883}, proposals)
    assert load(Config, document).entries()
    (source,) = document["sources"]
    for topic, payload in payloads.items():
        if topic not in unread:
            assert any(" = " in text for text in tried(source, topic, payload)), topic


@pytest.mark.parametrize(
    ("payload", "time", "values"),
    [
        ({"ts": 1_600_000_000_000, "flow": 1.5, "on": True}, "ts", ["flow", "on"]),
        ({"Timestamp": "2020-09-13T12:26:40Z", "data": {"flow": 1.5}}, "Timestamp", ["data.flow"]),
        ({"meta": {"t": 1_600_000_000}, "flow": 1.5, "level": 2}, "meta.t", ["flow", "level"]),
        ({"time": 1_600_000_000_000, "ts": 7, "flow": 1.5}, None, ["flow", "ts"]),
        ({"t": 21.5, "rh": 40}, None, ["rh", "t"]),  # a temperature
        ({"ts": "2020-09-13T12:26:40", "flow": 1.5}, None, ["flow"]),  # without an offset from UTC
        ({"timestamp": 99_999_999_999_999_999, "flow": 1.5}, None, ["flow", "timestamp"]),
    ],
)
def test_the_key_of_the_event_time_is_recognised(payload: dict[str, Any], time: str | None, values: list[str]) -> None:
    topic, body = "plant/pump", json.dumps(payload).encode()
    (proposal,), unread = propose({topic: body})
    assert (proposal.get("time"), proposal["value"], unread) == (time, values, [])
    (source,) = configuration({"host": "127.0.0.1", "port": 1883}, [proposal])["sources"]
    shown = tried(source, topic, body)
    assert len(shown) == len(values)
    assert (time is not None or "time" in payload) == all("2020-09-13T12:26:40" in line for line in shown)


@pytest.mark.parametrize(
    ("given", "problem"),
    [({"cert_file": "/c.pem", "tls": True}, "cert_file, key_file: both or neither"), ({"path": "x"}, "path: 'x'")],
)
def test_options_of_a_connection_are_those_of_an_entry(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(CommandError, match=problem):
        connection_keys("127.0.0.1", 1883, given)
    keys = connection_keys("127.0.0.1", 8883, {"username": "gw", "tls": True, "ca_file": "/ca.pem", "cert_file": ""})
    assert keys == {"host": "127.0.0.1", "port": 8883, "username": "gw", "tls": True, "ca_file": "/ca.pem"}


def test_the_password_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    assert read_password(lambda _text: "typed") is None  # without a terminal nothing can be typed
    monkeypatch.setenv(PASSWORD_VARIABLE, "secret")
    assert read_password(lambda _text: "typed") == "secret"
    monkeypatch.delenv(PASSWORD_VARIABLE)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert read_password(lambda _text: "typed") == "typed"


def test_a_proposed_preset_reads_as_with_its_default_topics() -> None:
    payloads = {
        "zigbee2mqtt/cellar/lamp": b'{"state": "ON"}',
        "zigbee2mqtt/bridge/info": b'{"permit_join": true}',
        "zigbee2mqtt/lamp/set": b'{"state": "OFF"}',
        "N/e0ff50/system/0/Batteries": b'{"value": [{"id": "b", "voltage": 26.5}]}',
        "v3/app/devices/door/up": b'{"uplink_message": {"decoded_payload": {"BatV": 3.1}}}',
    }
    proposals, unread = propose(payloads)
    assert unread == []
    bindings = read_bindings({"topics": proposals}, [])
    found = {}
    for topic, payload in payloads.items():
        used = Decoder(next(one for one in bindings if one.pattern.match(topic) is not None))
        found[topic] = used.decode([topic.encode()], [payload]).values
    assert list(found.values()) == [[1.0], [], [], [26.5], [3.1]]
