"""Writes ``journal-<version>.zip``: ``python -m tests.compat.aggregator.write_state VERSION``.

The journal of an aggregator that was killed: a snapshot (with all that a snapshot holds: open windows, a gap, a pending
row, batches that the forwarder does not hold) and, after it, records of every kind. ``expected-<version>.json`` has the
rows that the aggregator sends once all windows are closed, those of unacknowledged batches included.
"""

from __future__ import annotations

import json
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from edge_components.aggregator.config import Config
from tests.unit.aggregator.test_component import Rig
from wire import topics
from wire.acknowledgement import Acknowledgement
from wire.model import Aggregates, Readings, Series

FOLDER = Path(__file__).parent
START = 1_700_000_000_000
EPOCH = 17
SERIES = (
    Series("pump-1.temperature", "Cel", 0.1),
    Series("pump-1.level"),
    Series("tank:7.flow", "m3/h", 0.01),
    Series("door-3.open", "", 1.0),
)
NEXT_SEQUENCE = 11
"""Number of the sender's next batch: those before it are accepted.

Version 1 dropped the late reading at 2,000 ms; version 2 has it in a late window that is open in the snapshot.
"""
REPEATED = [(0, 10_250, 20.5)]
"""A reading of an open window, as (series, offset, value), that the aggregator has."""


def batch(rows: list[tuple[int, int, float]]) -> Readings:
    """Return readings from (series, milliseconds after START, value)."""
    rows = sorted(rows, key=lambda row: row[1])
    index, offset, value = (np.array(column) for column in zip(*rows, strict=True))
    used, index = np.unique(index, return_inverse=True)
    series = tuple(SERIES[at] for at in used.tolist())
    return Readings(series, index, START + offset, value.astype(np.float64), np.zeros(len(rows), np.uint8))


def rows_of(rig: Rig) -> list[list[Any]]:
    """Return the rows of all batches sent, each batch once: series, start, width, count, mean, min, max, std."""
    found = []
    for rows in rig.batches().values():
        names = [rows.series[index].name for index in rows.series_index.tolist()]
        columns = (getattr(rows, name).tolist() for name in ("start_ms", "width_ms", "count", "mean", "min", "max"))
        found += [list(row) for row in zip(names, *columns, strict=True)]
    return sorted([[None if value != value else value for value in row] for row in found], key=repr)


def write(work: Path) -> Rig:
    """Fill the journal in ``work`` and return the killed aggregator."""
    rig = Rig(work, gap_windows=2)
    number = iter(range(1, NEXT_SEQUENCE))
    for second in range(6):
        rows = [(0, 1000 * second + step, 20 + second + step / 1000) for step in (50, 250, 750)]
        rows += [(1, 1000 * second + 500, 7.25 * second), (2, 1000 * second + 1, 0.01 * second)]
        rig.offer(next(number), batch(rows), EPOCH)
        rig.tick(1.0)
    acknowledge(rig, 1)
    rig.offer(next(number), batch([(0, 9_100, 1.5), (1, 9_100, 2.5), (0, 9_100, 1.5), (0, 2_000, 9.0)]), EPOCH)
    rig.tick(0.3)
    rig.aggregator._store.fold()
    rig.offer(next(number), batch([(0, 10_250, 20.5), (1, 10_251, 1e-7), (3, 9_000, 1.0)]), EPOCH)
    rig.tick(1.0)
    rig.aggregator.reconfigure(Config(**{**vars_of(rig.config), "window_ms": 2000}))
    rig.offer(next(number), batch([(0, 12_000, 19.5), (2, 12_500, -4.25), (3, 12_500, 0.0)]), EPOCH)
    rig.tick(0.1)
    acknowledge(rig, 2)
    rig.offer(next(number), batch([(0, 13_000, 18.5), (2, 12_500, 4.25)]), EPOCH)
    rig.tick(0.1)
    rig.kill()
    return rig


def vars_of(config: Config) -> dict[str, Any]:
    """Return the configuration by key."""
    return {name: getattr(config, name) for name in config.__slots__}


def acknowledge(rig: Rig, sequence: int) -> None:
    """Have the forwarder acknowledge one batch."""
    epoch = next(iter(rig.batches()))[0]
    rig.bus.deliver(topics.SCORED_ACK, Acknowledgement(epoch, 0, ((sequence, sequence),)).encode())
    rig.tick(0.05)


def rows_after(work: Path) -> list[list[Any]]:
    """Start an aggregator on the journal in ``work``, let all windows close, and return the rows that it sends."""
    rig = Rig(work, window_ms=2000)
    rig.offer(NEXT_SEQUENCE, batch(REPEATED), EPOCH)
    rig.offer(NEXT_SEQUENCE - 1, batch([(0, 0, 1.0)]), EPOCH)
    rig.run_out()
    rig.kill()
    assert isinstance(next(iter(rig.batches().values())), Aggregates)
    return rows_of(rig)


def main(version: str) -> None:
    """Write the files of a version."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write(work)
        with zipfile.ZipFile(FOLDER / f"journal-{version}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(work.rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(work))
        expected = rows_after(work)
    text = "[\n" + ",\n".join(json.dumps(row) for row in expected) + "\n]\n"
    (FOLDER / f"expected-{version}.json").write_text(text)


if __name__ == "__main__":
    main(sys.argv[1])
