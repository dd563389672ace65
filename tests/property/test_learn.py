"""``strandline source learn`` proposes a configuration that the reader accepts, for any payloads of a broker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_components.common.config import load
from edge_components.sensor_reader.config import Config
from edge_components.sensor_reader.mapping.bindings import read_bindings
from edge_components.sensor_reader.mapping.decoder import Decoder
from strandline.sources.learn import configuration, propose
from strandline.sources.topic_groups import MAX_ELEMENTS
from tests.examples import examples

LEVEL = st.one_of(
    st.sampled_from(["a", "b", "plant", "SENSOR", "zigbee2mqtt", "{x}", "bridge", "state", "", "$SYS", "a b"]),
    st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), max_size=4),
)
TOPIC = st.lists(LEVEL, min_size=1, max_size=5).map("/".join)
KEY = st.one_of(st.sampled_from(["time", "ts", "value", "*", "**", "a.b", "\\", "", "t"]), st.text(max_size=3))
NUMBER = st.one_of(st.integers(-(10**14), 10**14), st.floats(-1e6, 1e6), st.booleans())
OBJECT = st.recursive(
    st.dictionaries(KEY, NUMBER, max_size=3), lambda inner: st.dictionaries(KEY, NUMBER | inner, max_size=3)
)
PAYLOAD = st.one_of(
    OBJECT.map(lambda body: json.dumps(body).encode()),
    st.sampled_from([b"21.5", b"ON", b"", b"weather,site=n t=5.5", b"{", b'[{"n": "t", "v": 1}]', b'{"value": 1}']),
    st.binary(max_size=8),
)


def accepted(proposals: list[dict[str, Any]]) -> None:
    """Load the proposed configuration as the reader does; raises ConfigError."""
    if proposals:
        text = json.dumps(configuration({"host": "broker"}, proposals))
        assert load(Config, json.loads(text)).entries()


def read(proposals: list[dict[str, Any]], payloads: Mapping[str, bytes]) -> set[str]:
    """Return the topics that the first matching element reads a number of."""
    decoders = [Decoder(binding) for binding in read_bindings({"topics": proposals}, [])]
    found = set()
    for topic, payload in payloads.items():
        first = next((one for one in decoders if one.pattern.match(topic) is not None), None)
        if first is not None and len(first.decode([topic.encode()], [payload])):
            found.add(topic)
    return found


@settings(max_examples=examples(8))
@given(payloads=st.dictionaries(TOPIC, PAYLOAD, max_size=12))
def test_a_proposed_configuration_is_accepted_by_the_reader(payloads: dict[str, bytes]) -> None:
    proposals, unread = propose(payloads)
    accepted(proposals)
    assert set(unread) <= payloads.keys()


@pytest.mark.parametrize("count", [90, 300])
def test_any_number_of_topics_with_fields_of_their_own_is_read(count: int) -> None:
    payloads = {
        f"plant/line{at % 7}/dev{at}": json.dumps({f"p{at}": 1.5, f"q{at}": at, "ts": 1_700_000_000}).encode()
        for at in range(count)
    }
    proposals, unread = propose(payloads)
    accepted(proposals)
    assert unread == []
    assert len(proposals) <= MAX_ELEMENTS
    assert read(proposals, payloads) == payloads.keys()
    assert len(json.dumps(configuration({}, proposals))) < 10_000


def test_topics_beyond_the_limit_of_the_reader_are_reported_as_not_read() -> None:
    payloads = {"/".join(["a"] * (at + 1)): b"1.5" for at in range(150)}
    proposals, unread = propose(payloads)
    accepted(proposals)
    assert len(proposals) <= MAX_ELEMENTS
    assert unread
