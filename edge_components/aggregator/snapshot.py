"""Encoding and decoding of snapshots of the aggregator's state. Pure."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_components.aggregator.pending_rows import PendingRows
from edge_components.aggregator.state import State
from edge_components.aggregator.window_types import Arrays, WindowSettings
from wire.model import OPTIONAL_COLUMNS, Aggregates, Series

VERSION = 2
"""Version 1, without late windows, can still be read."""
_PENDING = (
    "series_index",
    "start_ms",
    "width_ms",
    "count",
    "mean",
    "min",
    "max",
    "std",
    "score",
    "revision",
    "uncertain",
    "bad",
)
"""Columns of pending rows: their names in a snapshot follow ``pending_`` or ``pending_late_``."""


@dataclass(frozen=True, slots=True)
class Sent:
    """Batches that the forwarder has not stored yet, by sequence number; ``epoch`` 0: no batch was sent."""

    epoch: int = 0
    last_sequence: int = 0
    payloads: Mapping[int, bytes] = field(default_factory=dict)


def encode(state: State, sent: Sent) -> bytes:
    """Return the snapshot."""
    facts: dict[str, Any] = {
        "version": VERSION,
        "settings": state.settings.to_dict(),
        "idle_ms": state.idle_ms,
        "epoch": f"{sent.epoch:016x}",
        "last_sequence": sent.last_sequence,
        "series": [_entry(series) for series in state.registry.all()],
        "inbox": {f"{epoch:016x}": held for epoch, held in state.inbox.held().items()},
    }
    arrays: Arrays = state.windows.state() | state.deduplicator.state() | state.registry.state()
    for name, queue in _queues(state).items():
        pending = queue.merged()
        facts[name] = [] if pending is None else [_entry(series) for series in pending.series]
        if pending is not None:
            arrays |= {f"{name}_{column}": np.asarray(getattr(pending, column)) for column in _PENDING}
    arrays["sent_sequence"] = np.array(list(sent.payloads), np.int64)
    arrays["sent_size"] = np.array([len(payload) for payload in sent.payloads.values()], np.int64)
    arrays["sent_readings"] = np.array([state.sent_readings.get(one, 0) for one in sent.payloads], np.int64)
    arrays["sent"] = np.frombuffer(b"".join(sent.payloads.values()), np.uint8)
    arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # the journal deflates it
    return buffer.getvalue()


def decode(body: bytes, state: State) -> Sent:
    """Fill an empty state from a snapshot; raises KeyError, TypeError or ValueError for other bytes."""
    with np.load(io.BytesIO(body), allow_pickle=False) as loaded:
        arrays: Arrays = {name: loaded[name] for name in loaded.files}
    facts = json.loads(arrays.pop("facts").tobytes())
    if facts["version"] not in (1, VERSION):
        raise ValueError(
            f"snapshot version {facts['version']}, this one reads 1 to {VERSION}: deploy the version that wrote it"
        )
    return restore(state, facts, arrays)


def restore(state: State, facts: Mapping[str, Any], arrays: Arrays) -> Sent:
    """Fill an empty state from facts and arrays."""
    state.registry.restore([_series(entry) for entry in facts["series"]], arrays)
    state.deduplicator.restore(arrays)
    state.restore_settings(WindowSettings.from_dict(facts["settings"]))
    state.windows.restore(arrays)
    state.idle_ms = int(facts["idle_ms"])
    state.inbox.restore({int(epoch, 16): (c, ranges) for epoch, (c, ranges) in facts["inbox"].items()})
    for name, queue in _queues(state).items():
        if facts.get(name):
            present = [column for column in _PENDING if column not in OPTIONAL_COLUMNS or f"{name}_{column}" in arrays]
            columns = {column: arrays[f"{name}_{column}"] for column in present}
            queue.append(Aggregates(tuple(map(_series, facts[name])), **columns))  # type: ignore[arg-type]
    size = arrays["sent_size"].astype(np.int64)
    end = np.cumsum(size)
    whole, starts, ends = arrays["sent"].tobytes(), (end - size).tolist(), end.tolist()
    numbers = arrays["sent_sequence"].tolist()
    state.sent_readings = dict(zip(numbers, arrays["sent_readings"].tolist(), strict=True))
    payloads = {number: whole[start:end] for number, start, end in zip(numbers, starts, ends, strict=True)}
    return Sent(int(facts["epoch"], 16), int(facts["last_sequence"]), payloads)


def _queues(state: State) -> dict[str, PendingRows]:
    """Return the queues of pending rows by their storage name."""
    return {"pending": state.pending, "pending_late": state.pending_late}


def _entry(series: Series) -> list[Any]:
    return [series.name, series.unit, series.resolution]


def _series(entry: list[Any]) -> Series:
    name, unit, resolution = entry
    return Series(name, unit, resolution)
