"""Progress of long computations: its text, its intervals, and the computations that report it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from strandline.packaging.components import build
from strandline.packaging.wheels import Target, collect_all
from strandline.progress import ProgressLine, duration, text
from strandline.training import dense


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A text that is a terminal."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """Return the lines that a user sees after the last output."""
        lines = []
        for line in self.getvalue().split("\n"):
            seen = ""
            for part in line.split("\r"):
                seen = part + seen[len(part) :]
            lines.append(seen.rstrip())
        return lines


def test_progress_has_share_rate_and_time_left() -> None:
    assert text("history.csv", "rows", 25_000, 100_000, 10.0) == "history.csv: 25%, 2,500 rows/s, 30 s left"
    assert text("faults", "faults", 10, 40, 23.0) == "faults: 25%, 0.43 faults/s, 1:09 min left"
    assert [duration(seconds) for seconds in (45, 185, 7_800)] == ["45 s", "3:05 min", "2:10 h"]


def test_items_that_were_finished_before_do_not_count_as_rate() -> None:
    assert text("drain", "readings", 900, 1000, 5.0, first=800) == "drain: 90%, 20 readings/s, 5 s left"


def test_a_computation_that_may_stop_early_has_an_upper_limit() -> None:
    assert text("fit", "windows", 50, 100, 5.0, at_most=True) == "fit: 50%, 10 windows/s, at most 5 s left"


@pytest.mark.parametrize("done", [800, 790])
def test_without_an_advance_the_time_left_is_unknown(done: int) -> None:
    line = text("drain", "readings", done, 1000, 5.0, first=800)
    assert line == f"drain: {done / 1000:.0%}, 0 readings/s, time left unknown"


def test_a_finished_computation_has_no_time_left() -> None:
    assert text("drain", "readings", 1000, 1000, 5.0, first=1000) == "drain: 100%, 0 readings/s, 0 s left"


def test_a_pipe_gets_a_line_every_ten_seconds_and_none_for_a_short_computation() -> None:
    out, clock = io.StringIO(), Clock()
    with ProgressLine("x", "rows", out, clock) as progress:
        for second in range(1, 26):
            clock.now = float(second)
            progress(second, 100)
    assert out.getvalue().splitlines() == ["x: 10%, 1 rows/s, 1:30 min left", "x: 20%, 1 rows/s, 1:20 min left"]


def test_a_terminal_has_one_line_that_is_updated_and_removed_at_the_end() -> None:
    out, clock = Terminal(), Clock()
    with ProgressLine("x", "rows", out, clock) as progress:
        clock.now = 0.4
        progress(1, 1000)
        assert out.screen() == [""]
        clock.now = 10.0
        progress(10, 1000)
        assert out.screen() == ["x: 1%, 1 rows/s, 16:30 min left"]
        clock.now = 20.0
        progress(900, 1000)
        assert out.screen() == ["x: 90%, 45 rows/s, 2 s left"]
    assert out.screen() == [""]


def test_a_line_of_a_log_replaces_the_progress_until_the_next_update() -> None:
    out, clock = Terminal(), Clock()
    progress = ProgressLine("x", "rows", out, clock)
    clock.now = 1.0
    progress(50, 100)
    progress.clear()
    out.write("a fault\n")
    clock.now = 2.0
    progress(80, 100)
    assert out.screen() == ["a fault", "x: 80%, 40 rows/s, 0 s left"]


def test_each_phase_has_a_rate_of_its_own() -> None:
    out, clock = io.StringIO(), Clock()
    progress = ProgressLine("faults", "faults", out, clock)
    clock.now = 100.0
    progress.start("drain", "readings", 800)
    clock.now = 109.0
    progress(890, 1000)
    clock.now = 110.0
    progress(900, 1000)
    assert out.getvalue().splitlines() == ["drain: 90%, 10 readings/s, 10 s left"]


def test_a_quiet_progress_prints_nothing() -> None:
    out, clock = Terminal(), Clock()
    with ProgressLine("x", "rows", out, clock, quiet=True) as progress:
        clock.now = 60.0
        progress(50, 100)
    assert out.getvalue() == ""


def increasing(seen: list[tuple[int, int]]) -> bool:
    return seen == sorted(seen) and all(0 <= done <= total for done, total in seen)


def test_a_fit_counts_the_windows_of_all_epochs() -> None:
    inputs = np.random.default_rng(1).normal(size=(300, 4))
    seen: list[tuple[int, int]] = []
    fitted = dense.fit(inputs, inputs[:50], (4, 2, 4), 1, lambda done, total: seen.append((done, total)))
    assert seen[:3] == [(128, 90_000), (256, 90_000), (300, 90_000)]
    assert seen[-1] == (300 * fitted.epochs, 90_000)
    assert increasing(seen)


def test_a_download_counts_the_requirements_once_for_each_target() -> None:
    targets = [Target("3.11", "aarch64"), Target("3.13", "aarch64")]
    seen: list[tuple[int, int]] = []
    collect_all(targets, "a\nb\n", "c\n", lambda _requirement, _target: None, lambda *one: seen.append(one))
    assert {total for _, total in seen} == {8}  # pip, a, b and c
    assert sorted({done for done, _ in seen}) == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert increasing(seen)


RECIPE = """
ComponentName: io.strandline.{name}
ComponentVersion: "1.0.0"
Manifests:
  - Artifacts: [{{URI: "s3://bucket/{folder}.zip"}}]
    Lifecycle: {{Run: "python3 -m edge_components.{folder}.main"}}
"""


def test_a_build_counts_its_components(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    for name in ("One", "Two"):
        package = tmp_path / "edge_components" / name.lower()
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "main.py").write_text("")
        (tmp_path / "recipes" / f"{name}.yaml").write_text(RECIPE.format(name=name, folder=name.lower()))
    (tmp_path / "edge_components/__init__.py").write_text("")
    seen: list[tuple[int, int]] = []
    build(tmp_path, tmp_path / "out", progress=lambda *one: seen.append(one))
    assert seen == [(1, 2), (2, 2)]
