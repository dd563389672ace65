"""Tests of the fault plan."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_sim.chaos.errors import ScheduleError
from device_sim.chaos.schedule import COMPONENTS, KINDS, RECOVERY_SECONDS, Target, kinds_of, plan
from device_sim.cloud_kind import CloudKind

SEEDS = st.integers(0, 10_000)


@given(SEEDS)
def test_the_same_seed_gives_the_same_plan(seed: int) -> None:
    assert plan(seed, 400, 40, KINDS) == plan(seed, 400, 40, KINDS)


def test_another_seed_gives_another_plan() -> None:
    assert plan(1, 400, 40, KINDS) != plan(2, 400, 40, KINDS)


@given(SEEDS, st.integers(len(KINDS), 90))
def test_every_kind_occurs_within_the_time(seed: int, number: int) -> None:
    planned = plan(seed, 600, number, KINDS)
    assert len(planned) == number
    assert {fault.kind for fault in planned} == set(KINDS)
    assert all(0 <= fault.at_s <= fault.until_s <= 600 for fault in planned)
    assert list(planned) == sorted(planned, key=lambda fault: fault.at_s)


@given(SEEDS)
def test_no_two_faults_affect_the_same_part_at_once(seed: int) -> None:
    planned = plan(seed, 300, 50, KINDS)
    for target in Target:
        touching = [fault for fault in planned if target in fault.kind.targets]
        for one, next_one in itertools.pairwise(touching):
            assert next_one.at_s >= one.until_s + RECOVERY_SECONDS - 1e-9


def test_too_many_faults_for_the_time_are_rejected() -> None:
    with pytest.raises(ScheduleError, match="do not fit"):
        plan(1, 5, 60, KINDS)


def test_an_empty_plan_is_rejected() -> None:
    with pytest.raises(ScheduleError):
        plan(1, 60, 0, KINDS)


def test_kinds_are_chosen_by_a_part_of_their_names() -> None:
    assert kinds_of((), "lite") == tuple(kind for kind in KINDS if CloudKind.AWS in kind.clouds)
    assert [kind.name for kind in kinds_of(("calibration", "reader killed"))] == [
        "reader killed",
        "calibration bytes flipped",
    ]
    with pytest.raises(ScheduleError, match="'meteor'"):
        kinds_of(("meteor",))


def test_java_has_no_faults_of_single_daemons_and_both_boot_offline() -> None:
    java = {kind.name for kind in kinds_of((), "java")}
    assert {kind.name for kind in kinds_of((), "lite")} - java == {
        "IoT Core subscription lost",
        "local subscriptions lost",
        "configuration subscription lost",
    }
    assert {"boot offline", "nucleus daemon restarted"} <= java
    with pytest.raises(ScheduleError, match="of nucleus java on aws has 'IoT Core subscription lost'"):
        kinds_of(("IoT Core subscription lost",), "java")


def test_each_cloud_has_faults_of_its_own_functions() -> None:
    functions = {cloud: {kind.name for kind in kinds_of((), "lite", cloud)} for cloud in CloudKind}
    assert functions[CloudKind.AWS] - functions[CloudKind.AZURE] == {
        "lambda worker killed",
        "IoT Core subscription lost",
    }
    assert {"function stopped", "events processed twice"} <= functions[CloudKind.AZURE] - functions[CloudKind.AWS]


def test_a_boot_offline_holds_the_gateway_and_its_line_to_the_cloud() -> None:
    (boot,) = kinds_of(("boot offline",))
    assert set(boot.targets) == {*COMPONENTS, Target.CLOUD_LINE}
    assert boot.shortest_s > 0
