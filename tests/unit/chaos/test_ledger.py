"""Tests of the counters of drops and of their reconciliation with missing readings."""

from __future__ import annotations

import json

import pytest

from device_sim.chaos.ledger import Drops, drops_of, reconcile, totals
from device_sim.chaos.proof import Proof, Span

WIDTH = 1000


def line(message: str, **fields: object) -> str:
    return json.dumps({"message": message, **fields})


def span(start: int, expected: int = 8, missing: int = 8, series: str = "chaos.a") -> Span:
    empty = (start,) if missing == expected else ()
    return Span(series, start, start + WIDTH, 1, empty, expected, expected - missing, tuple(range(missing)), ())


def proof(*spans: Span) -> Proof:
    return Proof(80, 80 - sum(len(s.missing) for s in spans), 10, 10, spans)


def test_counters_are_summed_over_the_processes_that_a_component_ran_as() -> None:
    lines = [
        line("started", pid=1),
        line("counters", counters={"rejected_late": 2}),
        line("counters", counters={"rejected_late": 5, "batches": 1}),
        "not JSON", "[]",
        line("started", pid=2),
        line("started", pid=3),
        line("counters", counters={"rejected_late": 1}),
    ]  # fmt: skip
    assert totals(lines) == {"rejected_late": 6, "batches": 1}


def test_duplicates_are_not_drops_and_merged_rows_are_not_losses() -> None:
    counters = {"Aggregator": {"rejected_duplicate": 9, "rejected_late": 3, "windows": 50, "rejected_range": 0}}
    losses = {"rows_merged": 40, "dropped_rows_bulk": 2, "dropped_rows_not_recovered_urgent": 3, "spools_damaged": 1}
    drops = drops_of(counters, losses, 4)
    assert drops.readings == {"Aggregator.rejected_late": 3}
    assert drops.rows == {"Spool.dropped_rows_bulk": 2}
    assert drops.windows_a_row == 4
    assert drops_of({}, {}, 4).windows_a_row == 1, "where nothing was merged a row is one window"


def test_uncounted_missing_readings_are_lost() -> None:
    result = reconcile(proof(span(0), span(5000, missing=2)), Drops(), WIDTH)
    assert (result.accounted, result.lost) == (0, 10)
    assert len(result.examples) == 2


def test_a_dropped_row_explains_one_window_and_not_two() -> None:
    result = reconcile(proof(span(0), span(1000)), Drops(rows={"Spool.dropped_rows_bulk": 1}), WIDTH)
    assert (result.accounted, result.lost) == (8, 8)


def test_a_merged_row_that_was_dropped_explains_the_windows_that_it_spanned() -> None:
    spans = [span(4000), span(5000), span(6000), span(7000)]
    result = reconcile(proof(*spans), Drops(rows={"Spool.dropped_rows_bulk": 1}, windows_a_row=4), WIDTH)
    assert (result.accounted, result.lost) == (32, 0)
    other = reconcile(proof(*spans, span(8000)), Drops(rows={"Spool.dropped_rows_bulk": 1}, windows_a_row=4), WIDTH)
    assert other.lost == 8


@pytest.mark.parametrize(("counted", "lost"), [(0, 3), (2, 1), (3, 0), (9, 0)])
def test_a_dropped_reading_explains_one_missing_reading(counted: int, lost: int) -> None:
    result = reconcile(proof(span(0, missing=3)), Drops(readings={"Aggregator.rejected_late": counted}), WIDTH)
    assert (result.accounted, result.lost) == (3 - lost, lost)


def test_a_batch_with_unknown_rows_explains_no_missing_readings() -> None:
    assert drops_of({}, {"batches_not_recovered": 1}, 4).all() == {}


def test_whole_windows_take_the_dropped_rows_before_parts_of_windows_do() -> None:
    drops = Drops(rows={"Spool.dropped_rows_bulk": 1}, readings={"Aggregator.rejected_late": 2})
    result = reconcile(proof(span(0, missing=2), span(1000)), drops, WIDTH)
    assert (result.accounted, result.lost) == (10, 0)
