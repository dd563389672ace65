"""Tests of the quality scale of sources: declared levels are those that tests show, and the page has both tables."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from edge_components.sensor_reader.entries import kind_of, kinds
from edge_components.sensor_reader.sources import Level
from strandline.documentation.source_quality import (
    RULES,
    Result,
    is_documented,
    kinds_table,
    results,
    rules_table,
    shown,
)

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/sources.md").read_text()
RESULTS = {one.name: one for one in results(ROOT)}


@pytest.mark.parametrize("name", kinds())
def test_the_declared_level_of_a_kind_is_the_one_that_its_tests_show(name: str) -> None:
    found = RESULTS[name]
    assert kind_of(name).level == found.level, f"missing for the next level: {found.missing}"


@pytest.mark.parametrize("name", kinds())
def test_a_rule_that_does_not_apply_exists_has_a_reason_and_no_test(name: str) -> None:
    found = RESULTS[name]
    assert set(found.kind.inapplicable) <= {rule.name for rule in RULES} - set(found.tests)
    assert all(len(reason) > 10 and "|" not in reason for reason in found.kind.inapplicable.values())


def test_the_page_of_sources_has_the_tables_of_the_scale() -> None:
    tables = dict(re.findall(r"<!-- quality (\w+) -->\n(.*?)<!-- /quality -->", PAGE, re.S))
    assert tables["rules"] == rules_table()
    assert tables["kinds"] == kinds_table(list(RESULTS.values()))


def test_a_level_requires_the_rules_of_all_lower_ones() -> None:
    every = {rule.name: ("test",) for rule in RULES}
    kind = replace(kind_of("mqtt"), inapplicable={})
    assert Result("mqtt", kind, every).level == Level.PLATINUM
    without_peer = {name: tests for name, tests in every.items() if name != "peer"}
    assert Result("mqtt", kind, without_peer).level == Level.BRONZE
    assert Result("mqtt", kind, without_peer).missing == ["peer"]
    exempt = replace(kind, inapplicable={"peer": "a reason for it"})
    assert Result("mqtt", exempt, without_peer).level == Level.PLATINUM
    assert Result("mqtt", kind, {}).level == Level.NONE
    assert Result("mqtt", kind, {}).missing == [rule.name for rule in RULES if rule.level == Level.BRONZE]


def test_a_section_without_keys_or_example_is_not_documentation() -> None:
    assert is_documented(PAGE, "modbus")
    assert not is_documented(PAGE.replace("## modbus\n", "## other\n"), "modbus")
    assert not is_documented(PAGE.replace("`baudrate`", "`rate`"), "modbus")
    assert not is_documented(PAGE.replace('"kind": "onewire"', '"kind": "host"'), "onewire")


def test_markers_are_read_from_the_text_of_tests(tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_a.py").write_text(
        '@pytest.mark.source_quality("peer", "mqtt", "http")\n@other\ndef test_one(): ...\ndef test_two(): ...\n'
    )
    assert shown(folder) == {("peer", one): ("tests/test_a.py::test_one",) for one in ("mqtt", "http")}
