"""The size breakdown of a batch: every byte belongs to a part."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from strandline.commands import inspect
from tests.contract.make_golden import GOLDEN
from tests.contract.test_format import BATCHES, find, golden
from wire.size_breakdown import break_down


@pytest.mark.parametrize("name", BATCHES)
def test_the_parts_of_a_batch_add_up_to_its_size(name: str) -> None:
    data, _ = golden(name)
    found = break_down(data, find)
    assert sum(part.bytes for part in found.parts) == pytest.approx(len(data), abs=4)
    assert all(part.bytes >= 0 for part in found.parts)


def test_the_columns_of_aggregates_are_listed_separately() -> None:
    found = break_down(golden("aggregates-model")[0])
    sizes = {part.name: part.bytes for part in found.parts}
    assert {"envelope", "directory", "value", "low", "high", "std", "score"} == set(sizes)
    assert sizes["value"] > sizes["low"] > 1


def inspected(*arguments: str) -> str:
    app = typer.Typer()
    inspect.register(app)
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def test_inspect_shows_the_size_of_each_column_as_json_and_as_a_table() -> None:
    file = str(GOLDEN / "aggregates-model.batch")
    shown = json.loads(inspected(file, "--json", "--rows", "3"))
    assert (shown["coder"], len(shown["rows"])) == ("model", 3)
    assert sum(part["bytes"] for part in shown["parts"]) == pytest.approx(shown["bytes"], abs=4)
    text = inspected(file, "--rows", "2")
    assert "directory" in text
    assert "line-0.temperature" in text


def test_inspect_reads_a_batch_that_needs_a_profile_with_the_profile(tmp_path: Path) -> None:
    batch, profile = str(GOLDEN / "with-profile.batch"), str(GOLDEN / "profile.batch")
    shown = json.loads(inspected(batch, "--json", "--profile", profile))
    assert len(shown["rows"]) == 12
