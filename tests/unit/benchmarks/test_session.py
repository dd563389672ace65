"""Tests of the recording of a terminal session."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree  # our own files

from benchmarks.session import COLUMNS, COMMAND, MAX_PAUSE_S, NAME, ROWS, Line, cut, shortened, svg

PICTURES = Path(__file__).resolve().parents[3] / "docs/pictures"


def texts_of(picture: str) -> list[str | None]:
    """Return the lines of a picture."""
    root = ElementTree.fromstring(picture)  # noqa: S314 # our own file
    return [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]


def test_pauses_are_shortened_and_the_order_stays() -> None:
    lines = [Line(0.0, "$ a"), Line(0.5, "b"), Line(60.5, "c")]
    assert shortened(lines) == [Line(0.0, "$ a"), Line(0.5, "b"), Line(0.5 + MAX_PAUSE_S, "c")]


def test_long_lines_are_cut_to_the_width() -> None:
    assert cut("x" * COLUMNS) == "x" * COLUMNS
    assert cut("x" * (COLUMNS + 1)) == "x" * (COLUMNS - 3) + "..."


def test_a_picture_is_xml_with_all_lines_and_scrolls_by_those_above_its_rows() -> None:
    lines = [Line(float(at), f"line {at} <&>") for at in range(ROWS + 2)]
    found = svg(lines)
    texts = texts_of(found)
    assert texts == [line.text for line in lines]
    assert found.count("translateY(") == 2 + 2 + 1  # at rest, from the top over two steps, and at the end
    assert "translateY" in svg(lines[:3])


def test_the_picture_is_that_of_the_recorded_text() -> None:
    recorded = (PICTURES / f"{NAME}.txt").read_text().splitlines()
    assert recorded[0] == f"   0.0  $ {COMMAND}"
    lines = [Line(float(line[:6]), line[8:]) for line in recorded]
    assert texts_of((PICTURES / f"{NAME}.svg").read_text()) == [line.text for line in lines if line.text]
    assert any("proven: no data lost or duplicated" in line.text for line in lines)
