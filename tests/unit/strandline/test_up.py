"""The pure parts of ``strandline up``: the mapping that is proposed, the settings of the components, the status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from device_sim.demo.configuration import AGGREGATOR, SENSOR_READER
from edge_components.sensor_reader.entries import read_entries
from edge_components.sensor_reader.mapping.decoder import Decoder
from strandline.commands.up import split_broker
from strandline.errors import CommandError
from strandline.sources.learn import propose
from strandline.sources.trial import bindings
from strandline.up import mapping
from strandline.up.configuration import merged_configuration
from strandline.up.run import _open_folder
from strandline.up.status import Status

CONNECTION = {"host": "localhost", "port": 1883}
PAYLOADS = {
    "tele/boiler/SENSOR": b'{"Time":"2026-11-27T10:00:00","DS18B20":{"Id":"01","Temperature":61.5},"TempUnit":"C"}',
    "hall/pump-1/flow": b"1.5",
    "hall/pump-2/flow": b"2.5",
    "hall/camera/image": b"\x89PNG\r\n",
}


def test_a_proposal_shows_an_example_of_each_pattern_and_the_reason_for_each_rejected_topic() -> None:
    learned = mapping.learn(CONNECTION, PAYLOADS, 1_700_000_000_000)
    text = "\n".join(mapping.lines(learned))
    assert "accepted  hall/{level2}/{level3} (json; 2 topics), for example pump-1.flow = 1.5" in text
    assert "preset tasmota" in text
    assert list(learned.rejected) == ["hall/camera/image"]
    assert "rejected  hall/camera/image: no payload format reads 6 bytes, 89 50 4e 47 0d 0a..." in text


def test_a_topic_without_readings_is_skipped_and_not_rejected_for_ever() -> None:
    """The pattern of the pumps matches the camera, too."""
    learned = mapping.learn(CONNECTION, PAYLOADS, 1_700_000_000_000)
    found = {topic: bindings(learned.entry, topic)[0] for topic in PAYLOADS}
    assert [topic for topic, binding in found.items() if binding.mapping.skip] == ["hall/camera/image"]
    columns = Decoder(found["hall/camera/image"]).decode([b"hall/camera/image"], [b"\x89PNG"])
    assert (columns.skipped, columns.rejections) == (1, [])


def test_unread_topics_of_one_form_are_skipped_by_one_pattern_that_matches_no_other() -> None:
    payloads = {f"hall/pump-{n}/flow": b"1.5" for n in range(3)} | {f"hall/cam-{n}/image": b"\x89" for n in range(3)}
    proposals, unread = propose(payloads)
    assert proposals[0] == {"topic": "hall/{level2}/image", "skip": True}
    assert len(unread) == 3
    proposals, unread = propose(payloads | {"hall/door/image": b"7"})
    assert [one["topic"] for one in proposals if one.get("skip")] == unread
    read = [topic for topic in (*payloads, "hall/door/image") if topic not in unread]
    assert not any(bindings({"topics": proposals}, topic)[0].mapping.skip for topic in read)


def test_topics_of_two_forms_below_one_prefix_are_read_with_their_own_mappings() -> None:
    payloads = {f"plant/pump-{n}/temperature": b"20.5" for n in range(3)}
    payloads |= {f"plant/pump-{n}/state": b'{"flow": 5.5, "on": true}' for n in range(3)}
    proposals, unread = propose(payloads)
    assert proposals == [
        {"topic": "plant/{level2}/state", "value": ["flow", "on"]},
        {"topic": "plant/{level2}/{level3}"},
    ]
    assert unread == []
    assert names(proposals, payloads) == {f"pump-{n}.{end}" for n in range(3) for end in ("flow", "on", "temperature")}


def test_forms_that_no_level_separates_are_read_topic_by_topic() -> None:
    payloads = {"a/p/x": b"1.5", "a/q/y": b"2.5", "a/p/y": b'{"u": 1, "v": 2}', "a/q/x": b'{"u": 1, "v": 2}'}
    proposals, unread = propose(payloads)
    assert unread == []
    assert names(proposals, payloads) == {"p.x", "q.y", "p.y.u", "p.y.v", "q.x.u", "q.x.v"}


SEGMENTS = st.sampled_from(("a", "b", "c", "d e", "ü"))
FIELDS = {b"1.5": 1, b'{"value": 2}': 1, b'{"u": 1, "v": 2}': 2, b'{"w": {"x": 1}}': 1, b"temp,room=1 v=2": 1}
"""Payloads, and the number of their fields."""


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.lists(SEGMENTS, min_size=2, max_size=4).map("/".join),
        st.sampled_from(sorted(FIELDS)),
        min_size=1,
        max_size=30,
    )
)
def test_each_learned_topic_gives_series_of_its_payload(payloads: dict[str, bytes]) -> None:
    proposals, unread = propose(payloads)
    for topic in payloads.keys() - set(unread):
        binding = bindings({"topics": proposals}, topic)[0]
        columns = Decoder(binding).decode([topic.encode()], [payloads[topic]])
        assert (len(columns.fields), columns.rejections) == (FIELDS[payloads[topic]], [])


def names(proposals: list[dict[str, Any]], payloads: dict[str, bytes]) -> set[str]:
    """Return the names of the series that the proposals give."""
    found = set()
    for topic, payload in payloads.items():
        decoder = Decoder(bindings({"topics": proposals}, topic)[0])
        found.update(decoder.name(topic, field) for field in decoder.decode([topic.encode()], [payload]).fields)
    return found


def test_an_unread_topic_that_no_pattern_matches_needs_no_element() -> None:
    proposals, unread = propose({"hall/pump-1/flow": b"1.5", "hall/pump-2/flow": b"1.5", "text": b"hello"})
    assert (unread, [one for one in proposals if one.get("skip")]) == (["text"], [])


def test_the_kept_mapping_is_read_again(tmp_path: Path) -> None:
    learned = mapping.learn(CONNECTION, PAYLOADS, 1_700_000_000_000)
    assert mapping.read(tmp_path) is None
    mapping.keep(tmp_path, [dict(learned.entry)])
    assert mapping.read(tmp_path) == [learned.entry]


@pytest.mark.parametrize("text", ["{", "[]", '{"sources": [{"name": "x", "kind": "nothing"}]}'])
def test_an_invalid_kept_mapping_is_named_with_the_way_out(tmp_path: Path, text: str) -> None:
    (tmp_path / mapping.FILE).write_text(text)
    with pytest.raises(CommandError, match=r"sources\.json.*--learn-again"):
        mapping.read(tmp_path)


def test_the_password_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = Path(mapping.keep_password(tmp_path, "secret"))
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("secret", 0o600)


def test_the_host_is_measured_unless_it_is_switched_off_or_configured() -> None:
    entry = {"name": "mqtt", "kind": "mqtt", **CONNECTION, "topics": ["a/{device}/{channel}"]}
    with_host = merged_configuration([entry], 5.0, host=True)
    assert [one["kind"] for one in with_host[SENSOR_READER]["sources"]] == ["mqtt", "host"]
    assert len(read_entries(with_host[SENSOR_READER]["sources"])) == 2
    assert with_host[AGGREGATOR] == {"window_ms": 5000}
    assert merged_configuration([entry], 5.0, host=False)[SENSOR_READER]["sources"] == [entry]
    own = {"name": "this-pc", "kind": "host", "interval_ms": 1000}
    assert merged_configuration([entry, own], 5.0, host=True)[SENSOR_READER]["sources"] == [entry, own]


def test_a_status_lists_each_alert_and_each_new_rejection_once() -> None:
    status = Status()
    about = {"batches": 3, "counters": {"SensorReader": {"readings": 1200, "rejected_json": 2}}}
    alert = {"id": "a", "series": "pump-1.flow", "state": "firing", "summary": "level up"}
    assert status.alerts([alert, {**alert, "id": "b", "state": "pending"}]) == ["alert opened    pump-1.flow: level up"]
    assert status.counts(about) == "readings 1,200, batches stored 3, alerts open 1"
    assert status.rejections(about) == ["rejected: SensorReader.rejected_json 2"]
    assert status.rejections(about) == []
    more = {"counters": {"SensorReader": {"rejected_json": 3}}}
    assert status.rejections(more) == []  # a line at each doubling
    more["counters"]["SensorReader"]["rejected_json"] = 4
    assert status.rejections(more) == ["rejected: SensorReader.rejected_json 4"]
    assert status.alerts([{**alert, "state": "resolved"}]) == ["alert resolved  pump-1.flow"]
    assert status.counts({}) == "readings 0, batches stored 0, alerts open 0"


@pytest.mark.parametrize(
    ("address", "tls", "expected"),
    [
        ("localhost", False, ("localhost", 1883)),
        ("mqtt://broker:1884", False, ("broker", 1884)),
        ("broker", True, ("broker", 8883)),
    ],
)
def test_the_port_of_a_broker_has_a_default(address: str, tls: bool, expected: tuple[str, int]) -> None:
    assert split_broker(address, tls=tls) == expected


def test_an_invalid_port_is_an_invalid_argument() -> None:
    with pytest.raises(typer.BadParameter, match="--broker"):
        split_broker("broker:x", tls=False)


def test_data_of_a_newer_format_are_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "up.json").write_text(json.dumps({"format": 2, "page_port": 1}))
    with pytest.raises(CommandError, match="newer version; install that version again"):
        _open_folder(tmp_path)
