"""Tests of the restart budgets of both nuclei."""

from __future__ import annotations

from device_sim.greengrass.budget import FailureBudget, Phase, RestartBudget, StartBudget, budget
from device_sim.greengrass.profile import JAVA, LITE

HOUR = 3600.0


def failures_until_broken(target: RestartBudget, every: float, most: int = 10) -> int | None:
    """Start and fail once per ``every`` seconds; return the number of failures until the component is BROKEN."""
    now = 0.0
    for number in range(1, most + 1):
        target.started(Phase.RUN, now)
        now += every
        if target.failed(Phase.RUN, now):
            return number
    return None


def test_three_failures_within_the_hour_are_final_on_both() -> None:
    for profile in (JAVA, LITE):
        assert failures_until_broken(budget(profile.restarts), 1.0) == 3


def test_java_counts_failures_that_follow_each_other_within_an_hour() -> None:
    assert failures_until_broken(FailureBudget(3, HOUR), HOUR - 1) == 3
    assert failures_until_broken(FailureBudget(3, HOUR), HOUR) is None


def test_lite_counts_the_starts_of_an_hour() -> None:
    assert failures_until_broken(StartBudget(3, HOUR), HOUR / 4) == 3
    # The first failure comes after its start's window, so three more starts are allowed.
    target = StartBudget(3, HOUR)
    target.started(Phase.RUN, 0.0)
    assert not target.failed(Phase.RUN, 2 * HOUR)
    for second in range(2):
        target.started(Phase.RUN, 2 * HOUR + second)
        assert not target.failed(Phase.RUN, 2 * HOUR + second)
    target.started(Phase.RUN, 2 * HOUR + 2)
    assert target.failed(Phase.RUN, 2 * HOUR + 2)


def test_install_and_run_have_budgets_of_their_own() -> None:
    for target in (FailureBudget(3, HOUR), StartBudget(3, HOUR)):
        for second in range(2):
            target.started(Phase.INSTALL, second)
            assert not target.failed(Phase.INSTALL, second)
        target.started(Phase.RUN, 3)
        assert not target.failed(Phase.RUN, 3)
        assert target.failures == 2


def test_a_reset_clears_failures_and_on_java_the_end_of_the_phase_too() -> None:
    for target in (FailureBudget(2, HOUR), StartBudget(2, HOUR)):
        target.started(Phase.RUN, 0)
        assert not target.failed(Phase.RUN, 0)
        target.reset()
        assert target.failures == 0
        target.started(Phase.RUN, 1)
        assert not target.failed(Phase.RUN, 1)
    java = FailureBudget(2, HOUR)
    java.failed(Phase.RUN, 0)
    java.left(Phase.RUN)
    assert not java.failed(Phase.RUN, 1)
