"""A configuration is read from text and from typed values, or rejected with an error for each invalid key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_components.common.config import (
    absolute_path,
    flag,
    integer,
    load,
    mapping,
    number,
    objects,
    read_list,
    table,
    text,
    texts,
)
from edge_components.common.errors import ConfigError


def _pair(value: Any) -> tuple[int, int]:
    if not isinstance(value, dict) or set(value) != {"a", "b"}:
        raise ValueError('an object with "a" and "b"')
    return int(value["a"]), int(value["b"])


@dataclass(frozen=True, slots=True)
class Config:
    count: int = integer(5, 1, 10, "how many")
    ratio: float = number(0.5, 0, 1, "how much")
    on: bool = flag(False, "whether")
    mode: str = text("slow", "how", choices=("slow", "fast"))
    name: str = text("", "which", pattern="[a-z]{0,8}", allowed="at most 8 of a-z")
    names: tuple[str, ...] = texts(["one"], "which ones", pattern="[a-z]+", allowed="a list of words of a-z")
    pair: tuple[int, int] = mapping({"a": 1, "b": 2}, _pair, 'an object with "a" and "b"', "two | of them")


def problems(values: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(Config, values)
    return caught.value.problems


def test_what_is_absent_has_its_default_and_greengrass_keys_are_left_alone() -> None:
    config = load(Config, {"accessControl": {"anything": 1}})
    assert config == Config() == Config(5, 0.5, False, "slow", "", ("one",), (1, 2))


def test_text_and_typed_values_are_read_the_same() -> None:
    typed = load(Config, {"count": 7, "ratio": 1, "on": True, "mode": "fast"})
    assert load(Config, {"count": "7", "ratio": "1.0", "on": "True", "mode": "fast"}) == typed
    assert load(Config, {"count": 7.0}).count == 7


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("count", value) for value in (0, 11, "0", "7.5", 7.5, True, None, "", "1e1", [], 10**400, float("nan"))),
        *(("ratio", value) for value in (-0.1, "1.1", "nan", "inf", True, None, "", "x", {}, 10**400, "0_1")),
        *(("on", value) for value in (1, 0, "yes", "", None, [])),
        *(("mode", value) for value in ("medium", "", None, True, ["slow"])),
        *(("name", value) for value in ("UPPER", "waytoolong", "line\n", None, {})),
        *(("names", value) for value in ("one", ["ONE"], [1], None, ["one", "one"], {"one": 1})),
        *(("pair", value) for value in ({}, {"a": 1}, 3, None)),
    ],
)
def test_a_bad_value_is_refused_with_its_key_itself_and_what_is_allowed(key: str, value: Any) -> None:
    (problem,) = problems({key: value})
    assert problem.startswith(f"{key}: ")
    assert "is not allowed, expected " in problem
    assert len(problem) < 400


def test_every_bad_key_has_its_sentence_and_a_near_miss_is_named() -> None:
    found = problems({"count": 0, "ratio": 2, "cuont": 3})
    assert [problem.split(":")[0] for problem in found] == ["count", "ratio", "cuont"]
    assert "did you mean count?" in found[2]


def test_a_default_is_read_as_the_same_configured_value_is() -> None:
    assert load(Config, {"pair": {"a": 1, "b": 2}, "names": ["one"]}) == Config()


def test_the_table_has_a_row_a_key_with_its_default_as_json() -> None:
    rows = [row.split(" | ") for row in table(Config).splitlines()[2:]]
    assert [row[0] for row in rows] == [
        f"| `{key}`" for key in ("count", "ratio", "on", "mode", "name", "names", "pair")
    ]
    assert [row[1] for row in rows] == [
        *("`5`", "`0.5`", "`false`", "`slow`", '`""`', '`["one"]`', '`{"a": 1, "b": 2}`'),
    ]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(list(Config.__dataclass_fields__)) | st.text(), json_values))
def test_any_values_give_a_configuration_or_a_configuration_error(values: dict[str, Any]) -> None:
    try:
        config = load(Config, values)
    except ConfigError as error:
        refused = error.problems
    else:
        refused = ()
        assert 1 <= config.count <= 10
        assert 0 <= config.ratio <= 1
    assert len(refused) <= len(values)


@dataclass(frozen=True, slots=True)
class Files:
    log: str = absolute_path("optional file")
    folder: str = absolute_path("folder", "/tmp")  # noqa: S108 # nothing is written


def test_a_path_is_absolute_and_empty_only_if_its_default_is() -> None:
    assert load(Files, {"log": "", "folder": "/"}) == Files("", "/")
    assert load(Files, {"log": "/a b/c"}).log == "/a b/c"
    for values in ({"log": "a"}, {"folder": ""}, {"folder": "a/b"}, {"log": "/a\n"}, {"log": "/" + "a" * 1_024}):
        with pytest.raises(ConfigError, match="expected an absolute path"):
            load(Files, values)


@dataclass(frozen=True, slots=True)
class Item:
    name: str = text("", "name", pattern=".+")
    count: int = integer(1, 1, 9, "count")


def items(value: Any) -> tuple[Item, ...]:
    return read_list("items", objects(value, "a list of items"), lambda one: load(Item, one), lambda item: item.name)


def test_a_list_of_objects_is_read_in_its_order() -> None:
    assert items([{"name": "b"}, {"name": "a", "count": 2}]) == (Item("b"), Item("a", 2))
    assert items([]) == ()


@pytest.mark.parametrize("value", ["text", {"name": "a"}, [1], [{"name": "a"}, "b"], None])
def test_another_shape_of_a_list_of_objects_is_rejected(value: Any) -> None:
    with pytest.raises(ValueError, match="a list of items"):
        items(value)


def test_each_bad_key_of_a_list_and_each_name_that_occurs_twice_is_reported() -> None:
    with pytest.raises(ConfigError) as caught:
        items([{"name": "a", "count": 0}, {"name": "b"}, {"name": "b", "count": 2}, {"nam": "c"}])
    assert caught.value.problems == (
        "items[0].count: 0 is not allowed, expected a whole number from 1 to 9",
        "items[2].name: 'b' is not allowed, expected each name once",
        "items[3].nam: unknown key, did you mean name?",
    )


def test_a_list_can_name_its_items_and_its_key() -> None:
    def read(word: str) -> str:
        if not word.islower():
            raise ConfigError(["word: lower case"])
        return word

    with pytest.raises(ConfigError) as caught:
        read_list("words", ["A", "b", "b"], read, str, name_key="word", label=lambda index, word: f"{index}={word}")
    assert caught.value.problems == (
        "words[0=A].word: lower case",
        "words[2].word: 'b' is not allowed, expected each word once",
    )
