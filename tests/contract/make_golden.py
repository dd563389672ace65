"""Write the missing golden batches, one for each kind, coder and feature: ``python -m tests.contract.make_golden``.

Existing golden batches are never overwritten: they represent batches sent by gateways in the field. The decoded rows
of each batch are stored as JSON, and golden/README.md lists all files with their SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.contract import rare_ways
from wire import codec, container, profile
from wire.codec import Coder
from wire.columns import OPTIONAL
from wire.model import (
    AGGREGATE_COLUMNS,
    OPTIONAL_COLUMNS,
    Aggregates,
    Anomalies,
    Anomaly,
    Batch,
    Notice,
    Phase,
    Readings,
    Rows,
    Series,
)
from wire.varint import Cursor, number

GOLDEN = Path(__file__).parent / "golden"
NAME = ("gateway-7", 0x0192_3456_789A_BCDE, 4711)
PROFILE_VERSION = 7
LIST = GOLDEN / "README.md"
HEADING = """# Golden batches

These files represent batches sent by gateways in the field, which every decoder of version 1 must read. They are
frozen: files can be added (`python -m tests.contract.make_golden` writes the missing ones and lists them here), but
never changed or removed, because batches stored on a gateway's disk could then no longer be read. Tests verify the
SHA-256 of each.

The JSON file of a batch has its rows as objects: readings have `series`, `time_ms`, `value`, `quality`; aggregates
`series`, `start_ms`, `width_ms`, `count`, `mean`, `min`, `max`, `std`, `score`, and `revision`, `uncertain`, `bad`
if the batch has that column; anomalies and notices are stored as they are.
Doubles that are not finite are the texts `nan`, `inf` and `-inf`. `late-profile`, `rest-profile` and `with-profile` are
decoded with `profile.batch`, which has no JSON file.

"""


def aggregates(windows: int, series: int = 4, seed: int = 1) -> Aggregates:
    """Return aggregates of sensors with noise, in consecutive windows."""
    rng = np.random.default_rng(seed)
    raw = 200 + np.cumsum(rng.normal(0, 3, (windows, series, 1)), axis=0) + rng.normal(0, 4, (windows, series, 10))
    raw = np.round(raw) / 10
    names = [
        Series(f"line-{i // 2}.{('temperature', 'flow')[i % 2]}", ("Cel", "l/min")[i % 2], 0.1) for i in range(series)
    ]
    n = windows * series
    columns = (raw.mean(-1), raw.min(-1), raw.max(-1), raw.std(-1), rng.gamma(2, 0.2, (windows, series)))
    mean, low, high, std, score = (column.reshape(-1) for column in columns)
    return Aggregates(
        tuple(names),
        np.tile(np.arange(series), windows),
        np.repeat(1_750_000_000_000 + 10_000 * np.arange(windows), series),
        np.full(n, 10_000),
        np.full(n, 10),
        mean,
        low,
        high,
        std,
        score,
    )


def readings(n: int, seed: int = 2) -> Readings:
    """Return readings of two sensors at 1 Hz with occasional losses, and of a third at irregular times."""
    rng = np.random.default_rng(seed)
    kept = np.flatnonzero(rng.random(n) > 0.03)
    odd = np.cumsum(rng.integers(1, 90_000, n // 4))
    times = np.concatenate((kept * 1000, kept * 1000 + 250, odd)) + 1_750_000_000_000
    index = np.repeat([0, 1, 2], [len(kept), len(kept), len(odd)])
    values = np.round(np.cumsum(rng.normal(0, 1, len(times))), 1) + 20
    series = Series("pump.pressure", "bar", 0.1), Series("pump.current", "A", 0.1), Series("door.lux", "lx")
    return Readings(series, index, times, values, (rng.random(len(times)) < 0.02).astype(np.uint8))


def waves(n: int) -> Readings:
    """Return autocorrelated noise on a wandering level, best predicted between the last reading and a running mean."""
    rng = np.random.default_rng(8)
    noise, level = rng.normal(0, 6, n), np.cumsum(rng.normal(0, 1.5, n))
    for at in range(1, n):
        noise[at] += 0.6 * noise[at - 1]
    series = (Series("press-4.pressure", "bar", 0.01), Series("wave.odd-name", "furlong", 0.01))
    values = np.concatenate((np.round(500 + noise + level) / 100, np.round(-3 * noise - level) / 100))
    times = 1_750_000_000_000 + 1000 * np.tile(np.arange(n), 2)
    return Readings(series, np.repeat([0, 1], n), times, values, np.zeros(2 * n, np.uint8))


def duty(windows: int) -> Aggregates:
    """Return aggregates of a machine that is switched on and off."""
    rows = aggregates(windows, 2, seed=5)
    off = (np.arange(len(rows)) // 2 % 24) < 14
    off &= rows.series_index == 1
    mean, low, high, std = (np.where(off, 0.0, getattr(rows, name)) for name in ("mean", "min", "max", "std"))
    return Aggregates(
        rows.series, rows.series_index, rows.start_ms, rows.width_ms, rows.count, mean, low, high, std, rows.score
    )


def odd() -> Aggregates:
    """Return values without a common scale, empty windows, rows without scores, and unusual widths and counts."""
    rows = aggregates(12, 6, seed=9)
    series = (
        Series("a"), Series("b", "", 0.5), Series("c", "V", 1 / 3), Series("d"), Series("e", "µS/cm", 0.1), Series("f"),
    )  # fmt: skip
    mean, low, high, std = (getattr(rows, name).copy() for name in ("mean", "min", "max", "std"))
    kind = rows.series_index
    for column in (mean, low, high):
        column[kind == 1] = np.round(column[kind == 1] * 2) / 2
        column[kind == 2] = np.round(column[kind == 2]) / 3
        column[kind == 3] = np.float32(column[kind == 3])
        column[kind == 5] = column[kind == 5] * math.pi
    count = rows.count.copy()
    count[5], count[9], count[20] = 0, 9, -3
    for column in (mean, low, high, std):
        column[5] = math.nan
    low[10], high[16], std[22], mean[28] = -math.inf, 1e300, math.nan, 7e-320
    score = rows.score.copy()
    score[::7], score[8], score[9] = math.nan, math.inf, -1.0
    width = rows.width_ms.copy()
    width[3] = 60_000
    return Aggregates(series, kind, rows.start_ms, width, count, mean, low, high, std, score)


def wide(windows: int) -> Aggregates:
    """Return rows whose extremes are far apart in units of the mean, with steps that are not short decimals."""
    rng = np.random.default_rng(21)
    steps = (0.1, 1 / 3, math.pi * 1_000, 2 / 7e5, 0.1 / 3e9, 25.0)
    series = tuple(Series(f"wide.{at}", "", step) for at, step in enumerate(steps))
    step, n = np.tile(steps, windows), windows * len(steps)
    down, up = np.round(2.0 ** rng.uniform(0, 34, (2, n)))
    share = rng.uniform(0.05, 0.95, n)
    low, high = np.round(rng.normal(0, 1e4, n)) - down, np.round(rng.normal(0, 1e4, n)) + up
    low, high = np.minimum(low, high), np.maximum(low, high)
    mean = np.round((low + share * (high - low)) * 10) / 10
    std = np.sqrt((mean - low) * (high - mean)) * rng.uniform(0.05, 1, n)
    start = np.repeat(1_750_000_000_000 + 10_000 * np.arange(windows), len(steps))
    index, width, count = np.tile(np.arange(len(steps)), windows), np.full(n, 10_000), np.full(n, 10)
    mean, low, high, std = mean * step, low * step, high * step, std * step
    return Aggregates(series, index, start, width, count, mean, low, high, std, np.full(n, np.nan))


def revised() -> Aggregates:
    """Return rows with revisions, two of them of one window, and with readings of uncertain and bad quality."""
    rows = aggregates(20, 4, seed=13)
    n = np.arange(len(rows))
    start = rows.start_ms.copy()
    start[4:8] = start[:4]
    return replace(
        rows, start_ms=start, revision=(n >= 4) * (1 + n % 3), uncertain=n * 5 % 7 * (n % 2), bad=300 * (n == 9)
    )


def cases() -> Iterator[tuple[str, bytes]]:
    """Yield each golden batch by name."""
    for coder in Coder:
        only = frozenset({coder})
        yield f"aggregates-{coder.name.lower()}", codec.encode(Batch(*NAME, aggregates(20)), 10**9, coders=only)
        yield f"readings-{coder.name.lower()}", codec.encode(Batch(*NAME, readings(120)), 10**9, coders=only)
        yield f"odd-{coder.name.lower()}", codec.encode(Batch(*NAME, odd()), 10**9, coders=only)
    long = replace(aggregates(60, 6, seed=6), count=np.where(np.arange(360) % 17 == 3, 9, 10))
    yield "long-model", codec.encode(Batch(*NAME, long), 10**9, coders=frozenset({Coder.MODEL}))
    yield "wave-model", codec.encode(Batch(*NAME, waves(400)), 10**9, coders=frozenset({Coder.MODEL}))
    yield "duty-model", codec.encode(Batch(*NAME, duty(60)), 10**9, coders=frozenset({Coder.MODEL}))
    for coder in Coder:
        only = frozenset({coder})
        yield f"revised-{coder.name.lower()}", codec.encode(Batch(*NAME, revised()), 10**9, coders=only)
    for coder in Coder:
        yield f"wide-{coder.name.lower()}", codec.encode(Batch(*NAME, wide(30)), 10**9, coders=frozenset({coder}))
    late = codec._pack_known(replace(aggregates(11, 12).take(slice(120, 132)), revision=np.ones(12, np.int64)), known())
    yield "revised-profile", codec.seal(*NAME, min(late, key=len))
    yield "empty", codec.encode(Batch(*NAME, aggregates(0)))
    scored = aggregates(8)
    yield "unscored", codec.encode(Batch(*NAME, replace(scored, score=np.full(len(scored), np.nan))))
    yield "profile", codec.encode_profile(*NAME, known())
    one = aggregates(11, 12).take(slice(120, 132))
    yield "with-profile", codec.seal(*NAME, min(codec._pack_known(one, known()), key=len))
    yield "optional-column", codec.seal(*NAME, with_column(aggregates(3), 99 | OPTIONAL))
    report = Anomaly(
        "line-0.flow", Phase.ONSET, 1_750_000_000_000, 1_750_000_010_000, 2.25, "level", "up", 21.5, 19.0, 18.0, 20.0,
        {"level": 2.25, "spike": 0.5}, "l/min",
    )  # fmt: skip
    yield "anomalies", codec.encode(Batch(*NAME, Anomalies((report,))))
    update = replace(report, phase=Phase.UPDATE, series="line-0", channel="line-0.flow", history=(19.0, 20.25, 21.5))
    yield "anomalies-channel-history", codec.encode(Batch(*NAME, Anomalies((update, replace(update, observed=None)))))
    yield "notice", codec.encode(Batch(*NAME, Notice(1_750_000_000_000, {"Forwarder": {"batches_formed": 12}})))
    for name, packed in rare_ways.batches(aggregates(24, 12), aggregates(14, 16), readings(120), known()):
        yield name, codec.seal(*NAME, packed, 10**9)


def known() -> profile.Profile:
    """Return the profile that the golden batch with a profile refers to."""
    return profile.learn(aggregates(11, 12).take(slice(0, 120)), PROFILE_VERSION)


def with_column(rows: Rows, tag: int) -> bytes:
    """Return the packed rows with an additional column, as a later version may add one."""
    parts = container.unpack(codec.pack(rows, coders=frozenset({Coder.NONE})))
    content = parts.stream
    columns = codec.open_rows(parts).reader.entries
    size = sum(entry.size for entry in columns.values())
    begin, cursor = content[: len(content) - size - 1], Cursor(content, len(content) - size - 1)
    count = cursor.number("columns")
    more = begin + number(count + 1) + cursor.rest() + bytes((tag, 4)) + number(3) + b"new"
    return container.pack(parts.kind, Coder.NONE, len(more), more)


def json_rows(rows: Rows) -> Any:
    """Return the rows as JSON values, with NaN and infinities as text."""
    if isinstance(rows, Anomalies):
        return [report.to_dict() for report in rows.reports]
    if isinstance(rows, Notice):
        return {"time_ms": rows.time_ms, "counters": {name: dict(counts) for name, counts in rows.counters.items()}}
    names: tuple[str, ...] = ("time_ms", "value", "quality")
    if isinstance(rows, Aggregates):
        absent = [name for name in OPTIONAL_COLUMNS if not getattr(rows, name).any()]
        names = tuple(name for name in AGGREGATE_COLUMNS[1:] if name not in absent)
    columns = {name: getattr(rows, name).tolist() for name in names}
    which = [rows.series[i].name for i in rows.series_index.tolist()]
    return [
        {"series": name} | {column: plain(cells[at]) for column, cells in columns.items()}
        for at, name in enumerate(which)
    ]


def plain(value: float) -> float | str:
    """Return a number as a JSON value."""
    return value if math.isfinite(value) else str(value)


def digests() -> dict[str, str]:
    """Return the SHA-256 of every golden file, by name."""
    files = sorted(path for path in GOLDEN.iterdir() if path.suffix in (".batch", ".json"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def main() -> None:
    """Write the missing files, and add them to the list."""
    GOLDEN.mkdir(exist_ok=True)
    listed = LIST.read_text() if LIST.exists() else HEADING
    for name, data in cases():
        batch, expected = GOLDEN / f"{name}.batch", GOLDEN / f"{name}.json"
        if batch.exists():
            continue
        batch.write_bytes(data)
        if name != "profile":
            rows = codec.decode(data, lambda _, version: known() if version == PROFILE_VERSION else None).rows
            expected.write_text(json.dumps(json_rows(rows), indent=0, allow_nan=False) + "\n")
    for name, digest in digests().items():
        if f" {name}\n" not in listed:
            listed += f"    {digest} {name}\n"
    LIST.write_text(listed)


if __name__ == "__main__":
    main()
