"""Keys and entities of Table storage keep order, content and the limits of the service."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

table_keys = pytest.importorskip("cloud_functions.adapters.azure.table_keys", exc_type=ImportError)
table_entities = pytest.importorskip("cloud_functions.adapters.azure.table_entities", exc_type=ImportError)

TEXTS = st.text(st.sampled_from("ab09/#.?\\%+ ~\"'\x00\x1f\x7f\x80\x9f\xa0[]>&*$,-:|_é€"), max_size=8) | st.text(
    st.characters(max_codepoint=0xD7FF), max_size=8
)
FORBIDDEN = re.compile(r"[/\\#?%+'\x00-\x1f\x7f-\x9f]")


@given(TEXTS, TEXTS)
def test_codes_sort_as_their_texts_and_are_decoded(one: str, other: str) -> None:
    codes = table_keys.encode(one), table_keys.encode(other)
    assert (codes[0] < codes[1]) == (one < other)
    assert table_keys.decode(codes[0]) == one
    assert FORBIDDEN.search(codes[0]) is None
    assert table_keys.SEPARATOR not in codes[0]
    assert re.search("~[^01]", codes[0]) is None


@given(st.lists(TEXTS, min_size=2, max_size=2), st.lists(TEXTS, min_size=2, max_size=2))
def test_compound_keys_sort_by_their_parts(one: list[str], other: list[str]) -> None:
    keys = table_keys.compound("~at:", one), table_keys.compound("~at:", other)
    assert (keys[0] < keys[1]) == (one < other)


@given(st.integers(-(2**63), 2**63 - 1), st.binary(max_size=10), st.text(max_size=10))
def test_an_item_is_that_of_its_entity(number: int, data: bytes, text: str) -> None:
    item = {"pk": "a#b", "sk": "c/d", "n": number, "data": data, "text": text}
    assert table_entities.to_item(table_entities.to_entity(item)) == item


@pytest.mark.parametrize("size", [0, 63_999, 64_000, 64_001, 400_000])
def test_long_bytes_and_texts_are_divided(size: int) -> None:
    item = {"pk": "p", "sk": "s", "data": bytes(size), "text": "€" * (size // 3), "plain": "x" * size}
    entity = table_entities.to_entity(item)
    assert all(len(value) <= 65_536 for value in entity.values() if isinstance(value, bytes))
    assert all(len(value.encode("utf-16-le")) <= 65_536 for value in entity.values() if isinstance(value, str))
    assert table_entities.to_item(entity) == item
