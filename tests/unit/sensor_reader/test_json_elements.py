"""Lists of readings are parsed by a fast path, which gives what the general one gives."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_components.sensor_reader.formats import Columns
from edge_components.sensor_reader.formats.json import JsonFormat
from tests.unit.sensor_reader.decoding import decoder

leaf = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(-5, 5), st.sampled_from(["1.5", "Cel", ""]))
element = st.dictionaries(st.sampled_from(["value", "time", "quality", "unit", "other"]), leaf, max_size=5)
odd = st.one_of(leaf, st.lists(leaf, max_size=2), st.just({"value": [1]}), st.just({"value": {"a": 1}}))
elements = st.lists(st.one_of(element, element, odd), max_size=5)


def parsed(used: JsonFormat, body: Any) -> tuple[Any, ...]:
    into = Columns()
    used.parse_all([b"t"], [json.dumps(body).encode()], into)
    columns = (into.payloads, into.fields, into.values, into.times, into.qualities, into.units)
    return (*columns, into.skipped, [(index, error.reason) for index, error in into.rejections])


@pytest.mark.parametrize("each", ["*", "readings.*"])
@given(body=elements, beside=element)
def test_a_list_of_readings_is_read_as_the_general_path_reads_it(each: str, body: Any, beside: Any) -> None:
    settings = decoder(each=each).binding.mapping
    fast, general = JsonFormat(settings), JsonFormat(settings)
    assert fast._element_key == "value"
    general._element_key = None
    whole = body if each == "*" else {**beside, "readings": body}
    assert parsed(fast, whole) == parsed(general, whole)


@pytest.mark.parametrize(
    "keys", [{"each": ""}, {"each": "*.*"}, {"each": "*", "value": ["a", "b"]}, {"each": "*", "value": "a.b"}]
)
def test_other_mappings_take_the_general_path(keys: dict[str, Any]) -> None:
    assert JsonFormat(decoder(**keys).binding.mapping)._element_key is None
