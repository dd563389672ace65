"""Speed of aggregation, beside a plain implementation that handles one reading at a time.

Both get the same seeded batches in the same run, in turns, and must give the same rows. Prints a table, or with
``--json`` one object: ``{"workloads": {name: {"readings", "series", "ours_per_s", "cleaned_per_s", "plain_per_s",
"ratio", "cleaned_ratio"}}}``. Rates are readings a second of processor time, the median of ``--rounds`` runs; ``ratio``
is ours over plain, ``cleaned`` with the cleaning before it (ranges, repetitions, times). With ``--polars``, polars
groups the same readings by series and window on one thread, all of them at once (``polars_per_s``, ``polars_ratio``),
and batch by batch without merging the groups (``polars_batches_per_s``, ``polars_batches_ratio``). It has no open
windows, watermarks or late readings.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_components.aggregator.cleaning import Cleaner, Columns, Rules
from edge_components.aggregator.deduplicator import Deduplicator
from edge_components.aggregator.window_types import WindowSettings
from edge_components.aggregator.windows import Windows

START_MS = 1_700_000_000_000
SETTINGS = WindowSettings(width_ms=10_000, lateness_ms=1_000, gap_windows=0)
Rows = list[tuple[int, int, int, float, float, float, float]]


@dataclass(frozen=True, slots=True)
class Workload:
    """``series`` that each report ``per_second`` readings, in batches of ``batch_ms``, for ``seconds``."""

    name: str
    series: int
    per_second: float
    batch_ms: int
    seconds: int


WORKLOADS = (
    Workload("20 series at 1 Hz", 20, 1.0, 1_000, 600),
    Workload("200 series at 10 Hz", 200, 10.0, 250, 60),
    Workload("2,000 series at 100 Hz", 2_000, 100.0, 100, 5),
)


def batches(workload: Workload, seed: int) -> list[Columns]:
    """Return the workload's readings, a little out of order within each batch."""
    chance = np.random.default_rng(seed)
    per_batch = max(1, round(workload.per_second * workload.batch_ms / 1_000))
    made = []
    for begin in range(0, workload.seconds * 1_000, workload.batch_ms):
        count = workload.series * per_batch
        series_id = np.repeat(np.arange(workload.series), per_batch)
        time_ms = START_MS + begin + chance.integers(0, workload.batch_ms, count)
        value = chance.normal(20.0, 5.0, count)
        made.append(Columns(series_id, time_ms, value, np.zeros(count, np.uint8)))
    return made


def ours(given: list[Columns]) -> Rows:
    """Window the batches with the aggregator's windows."""
    return _windowed(given, lambda columns, _now_ms: columns)


def cleaned(workload: Workload) -> Callable[[list[Columns]], Rows]:
    """Return a function that cleans the batches as the aggregator does, then windows them."""
    low, high = np.full(workload.series, -1e6), np.full(workload.series, 1e6)

    def run(given: list[Columns]) -> Rows:
        cleaner, deduplicator = Cleaner(Rules()), Deduplicator()
        seed = np.arange(workload.series, dtype=np.uint64)

        def clean(columns: Columns, now_ms: int) -> Columns:
            kept = cleaner.clean(columns, low, high, now_ms).columns
            repeated = deduplicator.add(kept.series_id, seed[kept.series_id], kept.time_ms, kept.value)
            return kept.keep(~repeated)

        return _windowed(given, clean, lambda windows: deduplicator.close_before(windows.closed_ms))

    return run


def _windowed(
    given: list[Columns],
    clean: Callable[[Columns, int], Columns],
    closed: Callable[[Windows], None] = lambda _windows: None,
) -> Rows:
    windows, found = Windows(SETTINGS), []
    for columns in given:
        now_ms = int(columns.time_ms.max())
        now = (now_ms - START_MS) / 1_000
        kept = clean(columns, now_ms)
        windows.add(kept.series_id, kept.time_ms, kept.value, now_ms, now)
        found.append(windows.close(now))
        closed(windows)
    found.append(windows.finish())
    return [
        row
        for part in found
        for row in zip(
            *(
                column.tolist()
                for column in (
                    part.series_id,
                    part.start_ms,
                    part.count,
                    part.mean,
                    part.min,
                    part.max,
                    part.std,
                )
            ),
            strict=True,
        )
    ]


def plain(given: list[Columns]) -> Rows:
    """Window the batches in the simplest way: a dictionary of windows, one reading after the other (Welford)."""
    width, lateness = SETTINGS.width_ms, SETTINGS.lateness_ms
    windows: dict[int, dict[int, list[float]]] = {}
    newest: dict[int, int] = {}
    found: Rows = []

    def emit(series_id: int, start: int) -> None:
        count, mean, m2, low, high = windows[series_id].pop(start)
        found.append((series_id, start, int(count), mean, low, high, math.sqrt(m2 / count)))

    for columns in given:
        rows = zip(columns.series_id.tolist(), columns.time_ms.tolist(), columns.value.tolist(), strict=True)
        for series_id, time_ms, value in rows:
            start = time_ms - time_ms % width
            own = windows.setdefault(series_id, {})
            state = own.get(start)
            if state is None:
                own[start] = [1, value, 0.0, value, value]
            else:
                state[0] += 1
                delta = value - state[1]
                state[1] += delta / state[0]
                state[2] += delta * (value - state[1])
                state[3] = min(state[3], value)
                state[4] = max(state[4], value)
            if time_ms > newest.get(series_id, 0):
                newest[series_id] = time_ms
        for series_id, own in windows.items():
            for start in sorted(start for start in own if start + width <= newest[series_id] - lateness):
                emit(series_id, start)
    for series_id, own in windows.items():
        for start in sorted(own):
            emit(series_id, start)
    return found


def same(one: Rows, other: Rows) -> bool:
    """Return whether both gave the same rows, to rounding."""
    if len(one) != len(other):
        return False
    a, b = (np.array(sorted(rows)) for rows in (one, other))
    return bool(np.array_equal(a[:, :3], b[:, :3]) and np.allclose(a[:, 3:], b[:, 3:], rtol=1e-9, atol=1e-9))


def grouped_by_polars(given: list[Columns]) -> Rows:
    """Group all readings by series and window with polars."""
    import polars as pl

    names = ("series_id", "time_ms", "value")
    frame = pl.DataFrame({name: np.concatenate([getattr(columns, name) for columns in given]) for name in names})
    start, value = pl.col("time_ms") // SETTINGS.width_ms * SETTINGS.width_ms, pl.col("value")
    rows = frame.group_by("series_id", start.alias("start")).agg(
        value.len().alias("count"),
        value.mean().alias("mean"),
        value.min().alias("min"),
        value.max().alias("max"),
        value.std(ddof=0).alias("std"),
    )
    return [(a, b, int(c), d, e, f, g) for a, b, c, d, e, f, g in rows.iter_rows()]


def grouped_batches_by_polars(given: list[Columns]) -> None:
    """Group the readings of each batch with polars; windows of several batches are not merged."""
    for columns in given:
        grouped_by_polars([columns])


def measure(workload: Workload, rounds: int, seed: int, polars: bool = False) -> dict[str, float]:
    """Run all implementations in turns; raises SystemExit when they disagree."""
    given = batches(workload, seed)
    readings = sum(map(len, given))
    runs = {"ours": ours, "cleaned": cleaned(workload), "plain": plain}
    if polars:
        runs["polars"] = grouped_by_polars
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        results = {}
        for name, run in runs.items():
            began = time.process_time()
            results[name] = run(given)
            times[name].append(time.process_time() - began)
        if not all(same(result, results["plain"]) for result in results.values()):
            raise SystemExit(f"{workload.name}: the implementations disagree")
        if polars:
            began = time.process_time()
            grouped_batches_by_polars(given)
            times.setdefault("polars_batches", []).append(time.process_time() - began)
    rates = {name: readings / statistics.median(taken) for name, taken in times.items()}
    return {
        "readings": readings,
        "series": workload.series,
        **{f"{name}_per_s": round(rate) for name, rate in rates.items()},
        "ratio": round(rates["ours"] / rates["plain"], 2),
        "cleaned_ratio": round(rates["cleaned"] / rates["plain"], 2),
        **{
            f"{name}_ratio": round(rates["ours"] / rates[name], 2)
            for name in (("polars", "polars_batches") if polars else ())
        },
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, in turns (default 3)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the readings (default 1)")
    parser.add_argument("--polars", action="store_true", help="compare with polars, which must be installed")
    options = parser.parse_args()
    if options.polars:
        os.environ.setdefault("POLARS_MAX_THREADS", "1")  # the aggregator has one
    found = {workload.name: measure(workload, options.rounds, options.seed, options.polars) for workload in WORKLOADS}
    if options.json:
        print(json.dumps({"workloads": found}))
        return
    kinds = ("ours", "cleaned", "plain", *(("polars", "polars_batches") if options.polars else ()))
    print(f"{'readings a second':<24}{''.join(f'{kind:>16}' for kind in kinds)}{'ratio':>8}{'cleaned':>9}")
    for name, row in found.items():
        rates = "".join(f"{row[f'{kind}_per_s']:>16,.0f}" for kind in kinds)
        beside = ""
        if options.polars:
            beside = f"{row['polars_ratio']:>8.2f} of polars{row['polars_batches_ratio']:>7.2f} batch by batch"
        print(f"{name:<24}{rates}{row['ratio']:>8.1f}{row['cleaned_ratio']:>9.1f}{beside}")


if __name__ == "__main__":
    main()
