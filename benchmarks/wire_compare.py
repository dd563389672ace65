"""The wire format beside others on the same rows: ``python benchmarks/wire.py [--json] [--seed N]``.

w1: 20 series, as many rows as fit 5,000 bytes. w2: 200 series, one window. w3: readings at 1 Hz, as many as fit 7,000
bytes. Each on seeded synthetic series, on shifted ones (noise x4, drift x10, machines that switch on and off, heavy
tails) and, where ../shared/data is there, on real road sensors.

The entropy estimate is of order zero and empirical, computed in the same run: the size with a coder that knows the
distribution of every column of every series beforehand, and not the dependence between columns. Cells are rounded to
the stated precision, and the best of several running means of earlier cells is subtracted (for the deviation, an
estimate from the distances of minimum and maximum); Shannon's entropy of the remainder is counted on a run of 4,000
windows (8,000 readings) with Miller and Madow's correction. Real series are counted as they are, which is a short
run. The estimate leaves out names, times and everything else that is written once a batch, and the cost of learning
the distributions. A coder that uses the dependence between columns can be smaller, so it is not a lower bound. Times
are of the processor, the best of several runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import wire_workloads as workloads
from wire import codec, profile
from wire.codec import Coder
from wire.errors import TooLargeError
from wire.limits import MAX_BATCH_BYTES, MAX_LOCAL_BYTES
from wire.model import Aggregates, Batch, Readings

Encode = Callable[[Any], bytes]
NAME = ("gateway-7", 0x0192_3456_789A_BCDE, 4711)
LONG = 4_000
"""Windows (or tens of readings) from which the entropy is estimated."""


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    try:
        from benchmarks.wire_peers import PEERS, table
    except ImportError as error:
        print(f"{error.name} is missing: pip install -e '.[bench]' (or: make bench)", file=sys.stderr)
        return 1
    peers = {name: (_on_table(encode_, table), decode) for name, (encode_, decode) in PEERS.items()}
    result = dict(measure(options.seed, peers))
    print(json.dumps(result) if options.json else as_text(result))
    return 0


def _on_table(encode_: Encode, table: Callable[[Any], Any]) -> Encode:
    return lambda rows: encode_(table(rows))


def measure(seed: int, peers: dict[str, tuple[Encode, Callable[[bytes], Any]]]) -> Any:
    """Yield the results of each workload by name."""
    for suffix, shifted in (("", False), ("_shifted", True)):
        yield f"w1{suffix}", _w1(workloads.aggregates(20, 120, seed, shifted), seed, shifted, peers)
        yield f"w2{suffix}", _w2(seed, shifted, peers)
        yield f"w3{suffix}", _w3(workloads.raw_readings(20, 1000, seed, shifted), seed, shifted, peers)
    try:
        aggregates, readings = workloads.real_aggregates(), workloads.real_readings()
    except FileNotFoundError as error:
        print(f"no real series: {error}", file=sys.stderr)
        return
    yield (
        "w1_real",
        _fitted(aggregates, MAX_BATCH_BYTES, _ours(), peers)
        | {"entropy_bytes_per_row": aggregates_entropy(aggregates)},
    )
    last = aggregates.start_ms == aggregates.start_ms.max()
    entropy = {"entropy_bytes_per_row": aggregates_entropy(aggregates)}
    yield "w2_real", _all(aggregates.take(last), _ours(), peers) | entropy
    yield (
        "w3_real",
        _fitted(readings, MAX_LOCAL_BYTES, _ours(), peers) | {"entropy_bytes_per_row": readings_entropy(readings)},
    )


def _w1(rows: Aggregates, seed: int, shifted: bool, peers: Any) -> dict[str, Any]:
    entropy = aggregates_entropy(workloads.aggregates(20, LONG, seed, shifted))
    ours = _ours() | {
        "ours_deflate": (lambda part: encode(part, coders=frozenset({Coder.DEFLATE})), codec.decode),
        "ours_lzma1": (lambda part: encode(part, coders=frozenset({Coder.LZMA1})), codec.decode),
    }
    return _fitted(rows, MAX_BATCH_BYTES, ours, peers) | {"entropy_bytes_per_row": entropy}


def _w2(seed: int, shifted: bool, peers: Any) -> dict[str, Any]:
    """One window of 200 series; the profile was learned from the ten windows that are ten windows earlier."""
    rows = workloads.aggregates(200, 21, seed, shifted)
    window = (rows.start_ms - rows.start_ms.min()) // (workloads.WINDOW * 1000)
    known = profile.learn(rows.take(window < 10), 1)
    ours = _ours() | {
        "ours_with_profile": (
            lambda part: codec.encode(Batch(*NAME, part), known=known),
            lambda data: codec.decode(data, lambda gateway, version: known),
        )
    }
    entropy = aggregates_entropy(workloads.aggregates(200, LONG // 4, seed, shifted))
    size = len(codec.encode_profile(*NAME, known))
    return _all(rows.take(window == 20), ours, peers) | {"entropy_bytes_per_row": entropy, "profile_bytes": size}


def _w3(rows: Readings, seed: int, shifted: bool, peers: Any) -> dict[str, Any]:
    entropy = readings_entropy(workloads.raw_readings(20, LONG * 2, seed, shifted))
    return _fitted(rows, MAX_LOCAL_BYTES, _ours(), peers) | {"entropy_bytes_per_row": entropy}


def encode(rows: Aggregates | Readings, coders: frozenset[Coder] = codec.ALL) -> bytes:
    """Return the batch, without a size limit."""
    return codec.encode(Batch(*NAME, rows), 10**9, coders=coders)


def _ours() -> dict[str, tuple[Encode, Callable[[bytes], Any]]]:
    return {"ours": (encode, codec.decode)}


def _all(rows: Aggregates | Readings, ours: Any, peers: Any) -> dict[str, Any]:
    return {name: _timed(rows, *pair) for name, pair in (ours | peers).items()}


def _fitted(rows: Aggregates | Readings, limit: int, ours: Any, peers: Any) -> dict[str, Any]:
    found = {}
    for name, (encode_, decode) in (ours | peers).items():
        fits = _most(rows, limit, encode_)
        found[name] = _timed(_first(rows, fits), encode_, decode)
    return found


def _first(rows: Aggregates | Readings, count: int) -> Aggregates | Readings:
    if isinstance(rows, Aggregates):
        return rows.take(slice(0, count)).compact()
    columns = (rows.series_index[:count], rows.time_ms[:count], rows.value[:count], rows.quality[:count])
    return Readings(rows.series, *columns)


def _most(rows: Aggregates | Readings, limit: int, encode_: Encode) -> int:
    """Return how many of the first rows fit the limit."""
    if len(encode_(rows)) <= limit:
        return len(rows)
    low, high = 1, min(64, len(rows))
    while high < len(rows) and len(encode_(_first(rows, high))) <= limit:
        low, high = high, min(high * 2, len(rows))
    while high - low > max(1, low // 2000):
        middle = (low + high) // 2
        low, high = (middle, high) if len(encode_(_first(rows, middle))) <= limit else (low, middle)
    if len(encode_(_first(rows, low))) > limit:
        raise TooLargeError(f"one row is more than {limit} bytes")
    return low


def _timed(rows: Aggregates | Readings, encode_: Encode, decode: Callable[[bytes], Any]) -> dict[str, Any]:
    data = encode_(rows)
    per_row = 1e6 / len(rows)
    return {
        "rows": len(rows),
        "bytes_per_row": round(len(data) / len(rows), 4),
        "encode_us": round(_best_of(lambda: encode_(rows)) * per_row, 3),
        "decode_us": round(_best_of(lambda: decode(data)) * per_row, 3),
    }


def _best_of(work: Callable[[], Any]) -> float:
    """Return the least processor time of five runs or more, a third of a second in all: other processes use the
    machine, too."""
    taken: list[float] = []
    while len(taken) < 5 or (sum(taken) < 0.33 and len(taken) < 150):
        begin = time.process_time()
        work()
        taken.append(time.process_time() - begin)
    return min(taken)


def aggregates_entropy(rows: Aggregates) -> float:
    """Return the estimate in bytes a row."""
    bits = []
    for at, series in enumerate(rows.series):
        mine = rows.series_index == at
        step = series.resolution or 0.01
        mean = _cells(rows.mean[mine], step / 10)
        low, high = _cells(rows.min[mine], step), _cells(rows.max[mine], step)
        spread = np.maximum((mean - 10 * low) * (10 * high - mean) / 100, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            std = np.where(spread > 0, np.rint(16 * np.log2(rows.std[mine] / step) - 8 * np.log2(spread)), 0)
        score = np.rint(32 * np.log2(1 + rows.score[mine])).astype(np.int64)
        distances = mean // 10 - low, high + -mean // 10
        parts = [_best(mean), _best(score), *map(_best, distances), _entropy(std), _entropy(rows.count[mine])]
        bits.append(sum(parts))
    return round(statistics.fmean(bits) / 8, 4)


def readings_entropy(rows: Readings) -> float:
    """Return the estimate in bytes a row."""
    parts = [(rows.value[rows.series_index == at], series.resolution) for at, series in enumerate(rows.series)]
    bits = [len(values) * _best(_cells(values, step)) for values, step in parts]
    return round(sum(bits) / 8 / len(rows), 4)


def _cells(values: np.ndarray[Any, Any], step: float | None) -> np.ndarray[Any, np.dtype[np.int64]]:
    cells: np.ndarray[Any, np.dtype[np.int64]] = np.rint(values / (step or 0.01)).astype(np.int64)
    return cells


def _best(cells: np.ndarray[Any, np.dtype[np.int64]]) -> float:
    """Return the least entropy (bits a cell) that is left by any of the expectations, none among them."""
    return min([_entropy(cells), *(_entropy(_left(cells, window)) for window in (1, 2, 4, 8, 16, 32))])


def _left(cells: np.ndarray[Any, np.dtype[np.int64]], window: int) -> np.ndarray[Any, Any]:
    level, out = float(cells[0]), []
    for cell in cells[1:].tolist():
        out.append(round(cell - level))
        level += (cell - level) / window
    return np.array(out)


def _entropy(cells: np.ndarray[Any, Any]) -> float:
    _, often = np.unique(cells, return_counts=True)
    share = often / often.sum()
    return float(-(share * np.log2(share)).sum() + (len(often) - 1) / (2 * np.log(2) * often.sum()))


def as_text(result: dict[str, Any]) -> str:
    """Return the results as tables."""
    lines = []
    for workload, found in result.items():
        entropy = found.get("entropy_bytes_per_row")
        lines.append(f"\n{workload}" + (f"  (entropy estimate {entropy:.3f} B a row)" if entropy else ""))
        lines.append(f"  {'':22}{'rows':>7}{'B a row':>10}{'x entropy':>11}{'encode us':>11}{'decode us':>11}")
        for name, row in found.items():
            if isinstance(row, dict):
                ratio = f"{row['bytes_per_row'] / entropy:11.3f}" if entropy else " " * 11
                times = f"{row['encode_us']:11.2f}{row['decode_us']:11.2f}"
                lines.append(f"  {name:22}{row['rows']:7}{row['bytes_per_row']:10.3f}{ratio}{times}")
    return "\n".join(lines)
