"""A replay of the journal restores the committed state for any operations and snapshots."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_components.aggregator.cleaning import Columns
from edge_components.aggregator.operations import Batch, OperationLog
from edge_components.aggregator.readings_log import ReadingsPacker, unpack
from edge_components.aggregator.replay import Replay, Replayed
from edge_components.aggregator.series_table import SeriesTable
from edge_components.aggregator.snapshot import Sent, encode
from edge_components.aggregator.state import State
from edge_components.aggregator.window_types import Shape, WindowSettings
from edge_components.common.handover import Outbox, RetryPolicy
from edge_components.common.health import Counters
from edge_components.common.journal import Record, Recovered
from edge_components.common.limited_log import RateLimitedLog
from edge_components.common.packing import Packer
from tests.examples import examples
from tests.fakes import FakeClock
from wire.acknowledgement import Acknowledgement
from wire.model import AGGREGATE_COLUMNS, Series

NOW_MS = 1_700_000_000_000
NAMES = [Series(f"s{number}") for number in range(6)]
WIDTHS = [100, 1_000, 7_919]
SHAPES = [(), (("s[01]", Shape(3_000, 3_000)),), (("s*", Shape(2_000, 500)), ("s1", Shape(1_000, 1_000)))]
STATISTICS = [(), (("s[02]", ("last", "p50")), ("s*", ("p95",))), (("s1", ("last",)),)]
BACKLOG_MS = 60_000

row = st.tuples(
    st.integers(0, 2000),
    st.integers(-(2**50), 2**50) | st.integers(0, 3000),
    st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -0.0, 1e99, 0.1, 25.37, 1e15 + 0.5]),
    st.integers(0, 2),
)


@given(st.lists(st.lists(row, max_size=20), min_size=1, max_size=6))
def test_packed_readings_are_restored_to_the_bit(batches: list[list[tuple[int, int, float, int]]]) -> None:
    packer = ReadingsPacker()
    kinds = (np.int64, np.int64, np.float64, np.uint8)
    given_columns = [
        Columns(*(np.array([one[at] for one in rows], kind) for at, kind in enumerate(kinds))) for rows in batches
    ]
    for _ in range(2):  # the second time with the learned decimals
        found = unpack(packer.pack(given_columns))
        assert len(found) == len(given_columns)
        for one, other in zip(given_columns, found, strict=True):
            order = np.lexsort((one.time_ms, one.series_id))
            for name in ("series_id", "time_ms", "value", "quality"):
                assert getattr(one, name)[order].tobytes() == getattr(other, name).tobytes()


class Machine:
    """State and outbox, whose operations are recorded as in the journal."""

    def __init__(self, max_series: int = 4) -> None:
        self.max_series = max_series
        settings = WindowSettings(width_ms=1000, backlog_ms=BACKLOG_MS, statistics=STATISTICS[1])
        self.state = State(SeriesTable({}, max_series), settings, OperationLog())
        self.outbox = Outbox(77, RetryPolicy(), random.Random(1))
        clock = FakeClock()
        log = RateLimitedLog(Counters(), logging.getLogger("strandline.test"), clock)
        self.packer = Packer("gw", self.outbox, 5_000, log, 240)
        self.snapshot: bytes | None = None
        self.records: list[Record] = []
        self.sequence = self.time_ms = 0
        self.state.begin()

    def batch(self, rows: list[tuple[int, int, float]], deduplicate: bool) -> None:
        rows = sorted(rows, key=lambda row: row[1])  # like a decoded batch
        self.sequence += 1
        ids, assigned = self.state.registry.resolve(
            [NAMES[series] for series, _, _ in rows], lambda: self.state.windows.busy
        )
        for assignment in assigned:
            self.state.assign(assignment)
        columns = Columns(
            ids,
            np.array([NOW_MS + self.time_ms + offset for _, offset, _ in rows], np.int64),
            np.array([value for _, _, value in rows], np.float64),
            np.zeros(len(rows), np.uint8),
        ).keep(ids >= 0)
        self.state.accept(Batch(5, self.sequence, NOW_MS + self.time_ms, self.time_ms, deduplicate), columns)

    def close(self, pause_ms: int) -> None:
        self.time_ms += pause_ms
        self.state.close(self.time_ms)

    def emit(self, most: int, late: bool) -> None:
        rows = self.state.queue(late=late).merged()
        if rows is not None:
            sequence = self.outbox.next_sequence
            taken = self.packer.put(rows.take(slice(0, most)).compact())
            self.state.emit(sequence, taken, self.outbox.held()[sequence], late=late)

    def end(self, series_id: int) -> None:
        if series_id < len(self.state.registry):
            self.state.end([series_id])

    def free(self) -> None:
        numbers = list(self.outbox.held())[:1]
        list(self.outbox.to_send(0.0))
        self.outbox.acknowledge(Acknowledgement(77, 0, tuple((one, one) for one in numbers)))
        self.state.free(numbers)

    def commit(self) -> None:
        self.records += [Record(entry.kind, entry.body) for entry in self.state.log.take()]

    def fold(self) -> None:
        self.state.clean_up()
        self.commit()
        last = self.outbox.next_sequence - 1
        self.snapshot = encode(self.state, Sent(77 if last else 0, last, self.outbox.held()))
        self.records = []

    def replayed(self) -> tuple[State, Replayed]:
        state = State(SeriesTable({}, self.max_series), WindowSettings(width_ms=60_000), OperationLog())
        replayed = Replay(state).run(Recovered(self.snapshot, list(self.records)))
        return state, replayed


def facts(state: State) -> dict[str, Any]:
    state.clean_up()
    arrays: Mapping[str, Any] = state.windows.state() | state.deduplicator.state() | state.registry.state()
    queues = {late: state.queue(late=late).merged() for late in (False, True)}
    present = {late: pending for late, pending in queues.items() if pending is not None}
    rows = {
        late: {name: getattr(pending, name).tolist() for name in AGGREGATE_COLUMNS[1:]}
        for late, pending in present.items()
    }
    return {
        "arrays": {name: array.tobytes() for name, array in arrays.items()},
        "series": state.registry.all(),
        "settings": state.settings,
        "inbox": state.inbox.held(),
        "pending": repr(rows),
        "pending_series": {
            late: [pending.series[one] for one in pending.series_index.tolist()] for late, pending in present.items()
        },
        "sent": state.sent_readings,
        "held": state.held_readings,
    }


rows_of_batch = st.lists(
    st.tuples(st.integers(0, 5), st.integers(-5_000, 20_000), st.sampled_from([1.0, 2.5, -3.25, 1e-3, 0.1])),
    max_size=12,
)
step = st.one_of(
    st.tuples(st.just("batch"), rows_of_batch, st.booleans()),
    st.tuples(st.just("close"), st.integers(0, 15_000)),
    st.tuples(st.just("emit"), st.integers(1, 20), st.booleans()),
    st.tuples(st.just("free")),
    st.tuples(st.just("commit")),
    st.tuples(st.just("fold")),
    st.tuples(
        st.just("width"),
        st.sampled_from(WIDTHS),
        st.sampled_from([0, BACKLOG_MS]),
        st.sampled_from(SHAPES),
        st.sampled_from(STATISTICS),
    ),
    st.tuples(st.just("start")),
    st.tuples(st.just("end"), st.integers(0, 3)),
)


@pytest.mark.slow
@settings(max_examples=examples(60), deadline=None)
@given(st.lists(step, max_size=25))
def test_a_replay_gives_the_committed_state(steps: list[tuple[Any, ...]]) -> None:
    machine = Machine()
    for name, *values in steps:
        if name == "width":
            width, backlog_ms, shapes, statistics = values
            machine.state.configure(
                WindowSettings(width_ms=width, backlog_ms=backlog_ms, shapes=shapes, statistics=statistics)
            )
        elif name == "start":
            machine.state.start()
            machine.time_ms = 0
        else:
            getattr(machine, name)(*values)
    machine.commit()
    state, replayed = machine.replayed()
    assert (replayed.lost, replayed.differences) == (False, 0)
    assert dict(replayed.sent.payloads) == dict(machine.outbox.held())
    assert replayed.sent.last_sequence == machine.outbox.next_sequence - 1
    assert len(state.log) == 0
    assert facts(state) == facts(machine.state)
