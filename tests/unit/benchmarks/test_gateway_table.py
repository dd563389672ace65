"""Tests of the tables of README and comparison: they are those of the recorded runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.gateway_table import components, programs, read, run_of

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("document", "name", "make"),
    [("README.md", "components", components), ("docs/comparison.md", "programs", programs)],
)
def test_a_table_in_a_document_is_that_of_the_recorded_runs(document: str, name: str, make) -> None:
    found = re.search(rf"<!-- figures {name} -->\n(.*?)<!-- /figures -->", (ROOT / document).read_text(), re.S)
    assert found is not None
    assert found[1] == make(read())


def test_the_parts_of_a_figure_make_its_sum() -> None:
    parts = ("pss_mb", "disk_mb_per_day_inflight20", "disk_mb_per_day_inflight200", "cpu_s_per_million_1_at_2000")
    for key in parts:
        run = run_of(read(), key)
        names = ("reader", "aggregator", "detector", "forwarder")
        assert sum(run[f"{key}_by_component"][name] for name in names) == pytest.approx(run[key], rel=0.01)


def test_a_figure_without_a_run_is_an_error() -> None:
    with pytest.raises(KeyError):
        run_of(read(), "unknown")


def test_the_last_run_with_a_figure_is_used() -> None:
    assert run_of([{"a": 1}, {"a": 2}, {"b": 3}], "a")["a"] == 2
