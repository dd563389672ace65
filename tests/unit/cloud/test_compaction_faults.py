"""Compaction under faults at every call of a port: raw batches, roll-ups and archive still agree."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator

import pytest

from cloud_functions.core.compaction import LEASE_MS, RESERVED_MS, Compactor, Outcome
from cloud_functions.core.compaction_plan import DAY_AFTER_MS, DAY_MS, Task
from cloud_functions.core.errors import StoreError
from cloud_functions.core.hours import GRACE_MS
from cloud_functions.core.keys import HOUR_MS
from tests.examples import some_slow
from tests.unit.cloud.fakes import CrashError, body
from tests.unit.cloud.faults import Fault, Faults
from tests.unit.cloud.test_compaction import HOUR, Cloud, windows_of
from wire import codec
from wire.model import Batch

pytestmark = pytest.mark.usefixtures("decoded_once")
DAY = HOUR // DAY_MS * DAY_MS


def deliver_unreadable(cloud: Cloud, gateway: str, start_ms: int) -> None:
    """Deliver a batch that ingest accepts, with a valid head and checksum, and whose rows cannot be decoded."""
    bad = Batch(gateway, 7, 9_999, windows_of(start_ms, 6, 10_000, 3))
    packed = codec.pack(bad.rows, coders=frozenset({codec.Coder.MODEL}))
    data = codec.seal(gateway, 7, 9_999, packed[:-6] + bytes(6))
    cloud.accept(json.dumps(json.loads(body(bad)) | {"data": base64.b64encode(data).decode()}))


def hour_of_three_gateways() -> Cloud:
    """An hour that ended: three gateways, a revision, and a batch that cannot be decoded."""
    cloud = Cloud()
    for gateway in ("gw-1", "gw-2", "gw-3"):
        cloud.deliver(gateway, HOUR)
    cloud.deliver("gw-2", HOUR + 20_000, revision=1)
    cloud.now_ms = HOUR + HOUR_MS
    deliver_unreadable(cloud, "gw-3", HOUR + 600_000)
    cloud.now_ms = HOUR + HOUR_MS + GRACE_MS
    return cloud


def reopened_hour() -> Cloud:
    """A compacted hour whose batches have expired, with a late batch, a late revision and a new gateway."""
    cloud = hour_of_three_gateways()
    cloud.compact()
    cloud.table.items = {key: item for key, item in cloud.table.items.items() if item["kind"] != "batch"}
    cloud.deliver("gw-1", HOUR + 1_200_000)
    cloud.deliver("gw-2", HOUR, revision=2)
    cloud.deliver("gw-0", HOUR + 600_000)
    return cloud


def ended_day() -> Cloud:
    """A day of three compacted hours that is to be merged."""
    cloud = Cloud()
    for hour in range(3):
        for gateway in ("gw-2", "gw-1"):
            cloud.deliver(gateway, HOUR + hour * HOUR_MS)
        cloud.now_ms = HOUR + (hour + 1) * HOUR_MS
    cloud.now_ms = DAY + DAY_MS + GRACE_MS
    cloud.compact()
    cloud.now_ms = DAY + DAY_MS + DAY_AFTER_MS + GRACE_MS
    return cloud


def reopened_day() -> Cloud:
    """A merged day, of which one hour received a late revision."""
    cloud = ended_day()
    cloud.compact()
    cloud.deliver("gw-1", HOUR + HOUR_MS, revision=3)
    return cloud


SITUATIONS = (
    pytest.param(hour_of_three_gateways, marks=pytest.mark.slow),
    pytest.param(reopened_hour, marks=pytest.mark.slow),
    pytest.param(ended_day, marks=pytest.mark.slow),
    reopened_day,
)


def worker(cloud: Cloud, faults: Faults, left_ms: Callable[[], int] = lambda: LEASE_MS) -> Compactor:
    table, archive, letters = faults.wrap(cloud.table), faults.wrap(cloud.archive), faults.wrap(cloud.letters)
    return Compactor(table, archive, lambda *_: None, letters, lambda: cloud.now_ms, 90 * DAY_MS, lambda: "w", left_ms)


def run_to_the_end(cloud: Cloud) -> None:
    """Plan and compact, as the schedule does, until nothing is left to do."""
    rounds = 0
    while cloud.plan():
        cloud.now_ms += LEASE_MS
        cloud.compact()
        rounds += 1
        assert rounds < 6


def copies(cloud: Cloud, tasks: list[Task], fault: Fault) -> Iterator[Cloud]:
    """Yield a cloud for each call of a port while the tasks run, in which this call had the fault."""
    call = 0
    while True:
        one, faults = cloud.copy(), Faults()
        faults.at(call, fault)
        for task in tasks:
            try:
                worker(one, faults).run(task)
            except (CrashError, StoreError):
                break
        if faults.calls <= call:
            return  # the tasks ended before this call
        yield one
        call += 1


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_fault_at_any_call_of_a_port_loses_and_doubles_nothing(situation: Callable[[], Cloud], fault: Fault) -> None:
    cloud = situation()
    tasks, tried = cloud.plan(), 0
    assert tasks
    for one in copies(cloud, tasks, fault):
        one.archived()  # asserts that a reader sees no row twice
        run_to_the_end(one)
        one.agree(DAY + DAY_MS)
        # Twice only if the function died between keeping the letter and recording that.
        assert len(one.letters.kept) <= 2
        tried += 1
    assert tried > 10


def test_a_task_that_runs_out_of_time_continues_after_the_gateways_that_it_finished() -> None:
    cloud = hour_of_three_gateways()
    task, outcomes = cloud.plan()[-1], []
    for _ in range(3):
        outcomes.append(worker(cloud, Faults(), lambda: RESERVED_MS - 1).run(task))
        assert [name for name, _ in cloud.archive.visible()] == ["gw-1", "gw-2", "gw-3"][: len(outcomes)]
    assert outcomes == [Outcome.PARTIAL, Outcome.PARTIAL, Outcome.DONE]
    run_to_the_end(cloud)
    cloud.agree(DAY + DAY_MS)


def test_reopened_gateways_for_which_no_time_was_left_stay_reopened() -> None:
    cloud = reopened_hour()
    (task,) = cloud.plan()
    outcomes = [worker(cloud, Faults(), lambda: RESERVED_MS - 1).run(task) for _ in range(3)]
    assert outcomes == [Outcome.PARTIAL, Outcome.PARTIAL, Outcome.DONE]
    assert cloud.table.of_kind("reopened") == []
    cloud.agree(DAY + DAY_MS)


@pytest.mark.slow
@pytest.mark.parametrize("fault", some_slow(Fault, fast=1))
def test_a_fault_while_time_runs_out_loses_and_doubles_nothing(fault: Fault) -> None:
    for situation in (hour_of_three_gateways, reopened_hour):
        cloud = situation()
        task = cloud.plan()[-1]
        worker(cloud, Faults(), lambda: RESERVED_MS - 1).run(task)
        for one in copies(cloud, [task], fault):
            run_to_the_end(one)
            one.agree(DAY + DAY_MS)
