"""Tests of merge, reset and modification times of a configuration."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_sim.greengrass.configuration import (
    Configuration,
    ConfigurationUpdate,
    changed,
    find,
    leaves,
    merge,
    parse_pointer,
    pointer,
    reset,
)
from device_sim.greengrass.errors import ConfigurationError, StaleUpdateError

DEFAULTS = {"a": 1, "nested": {"b": 2, "list": [1, 2]}}


def test_a_merge_goes_down_into_objects_and_replaces_leaves_and_lists() -> None:
    update = {"a": {"now": "object"}, "nested": {"list": [3], "new": None}}
    assert merge(DEFAULTS, update) == {"a": {"now": "object"}, "nested": {"b": 2, "list": [3], "new": None}}
    assert DEFAULTS == {"a": 1, "nested": {"b": 2, "list": [1, 2]}}


def test_a_reset_restores_defaults_and_removes_other_values() -> None:
    current = {"a": 9, "nested": {"b": 9, "extra": 9}, "own": 9}
    assert reset(current, DEFAULTS, ["/a", "/own"]) == {"a": 1, "nested": {"b": 9, "extra": 9}}
    assert reset(current, DEFAULTS, ["/nested"])["nested"] == {"b": 2, "list": [1, 2]}
    assert reset(current, DEFAULTS, ["/nested/extra", "/absent/deep"])["nested"] == {"b": 9}
    assert reset(current, DEFAULTS, [""]) == DEFAULTS
    assert current["own"] == 9


def test_a_deployment_resets_then_merges_and_new_defaults_only_fill_in() -> None:
    kept = Configuration({"a": 5, "own": 1})
    update = ConfigurationUpdate(merge={"nested": {"b": 7}}, reset=("/own",))
    values = kept.deployed(DEFAULTS, update, 10).values
    assert values == {"a": 5, "nested": {"b": 7, "list": [1, 2]}}


def test_an_update_older_than_the_present_value_is_stale() -> None:
    kept = Configuration({}).deployed(DEFAULTS, ConfigurationUpdate(), 100)
    with pytest.raises(StaleUpdateError, match="/nested/b was modified at 100 ms, after this update's 99 ms"):
        kept.updated(["nested"], {"b": 3}, 99)
    assert kept.updated(["nested"], {"b": 2}, 99).values == kept.values
    fresh = kept.updated(["nested"], {"new": {"deep": 1}}, 99)
    assert find(fresh.values, ["nested", "new", "deep"]) == 1
    assert fresh.modified[("nested", "new", "deep")] == 99
    assert fresh.modified[("a",)] == 100


def test_a_leaf_cannot_be_merged_into() -> None:
    kept = Configuration({"a": 1, "list": [{"x": 1}]})
    for path in (["a"], ["a", "b"], ["list", "0"]):
        with pytest.raises(ConfigurationError, match="is a leaf"):
            kept.updated(path, {"c": 1}, 0)
    assert kept.updated(["fresh", "deep"], {"c": 1}, 0).values["fresh"] == {"deep": {"c": 1}}


def test_changes_are_listed_by_leaf_and_distinguish_types() -> None:
    old: dict[str, Any] = {"a": 1, "b": {"c": True, "gone": 1}, "empty": {}}
    new: dict[str, Any] = {"a": 1.0, "b": {"c": True}, "empty": {}, "fresh": []}
    assert sorted(changed(old, new)) == [("a",), ("b", "gone"), ("fresh",)]


@pytest.mark.parametrize("bad", ["a", "a/b", None, 3])
def test_a_pointer_begins_with_a_slash(bad: object) -> None:
    with pytest.raises(ConfigurationError, match="is not a JSON pointer"):
        parse_pointer(bad)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=3), JSON, max_size=4)


@given(st.lists(st.text(max_size=5), max_size=4).map(tuple))
def test_a_path_survives_its_pointer(path: tuple[str, ...]) -> None:
    assert parse_pointer(pointer(path)) == path


@given(OBJECTS, OBJECTS)
def test_merging_is_idempotent(base: dict[str, Any], update: dict[str, Any]) -> None:
    merged = merge(base, update)
    for path, value in leaves(update):
        if path and value != {}:
            assert find(merged, path) == value
    assert changed(merged, merge(merged, update)) == []


@given(OBJECTS, OBJECTS)
def test_resetting_every_leaf_and_the_whole_gives_the_defaults(
    current: dict[str, Any], defaults: dict[str, Any]
) -> None:
    assert reset(current, defaults, [""]) == defaults
    keys = [pointer((key,)) for key in {**current, **defaults}]
    assert reset(current, defaults, keys) == defaults
