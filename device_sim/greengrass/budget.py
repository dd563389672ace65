"""Restart budgets: how many failures until a component is BROKEN; pure.

A budget is kept by phase, because both nuclei count failures of the install step apart from those of the run step.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from device_sim.greengrass.profile import RestartRules


class Phase(StrEnum):
    """Part of a component's life whose failures are counted together."""

    INSTALL = "install"
    RUN = "run"


class RestartBudget(Protocol):
    """Count of failures; all times are seconds of a monotonic clock."""

    def started(self, phase: Phase, now: float) -> None:
        """Note a start."""

    def failed(self, phase: Phase, now: float) -> bool:
        """Note a failure and return whether the component is given up."""

    def left(self, phase: Phase) -> None:
        """Note that a phase was left without a failure."""

    def reset(self) -> None:
        """Forget all failures."""

    @property
    def failures(self) -> int:
        """Failures that count at present."""


class FailureBudget:
    """Give up after ``limit`` failures of a phase, each within ``window`` of the one before (the Java nucleus)."""

    def __init__(self, limit: int, window: float) -> None:
        self._limit, self._window = limit, window
        self._failures: dict[Phase, list[float]] = {}

    def started(self, phase: Phase, now: float) -> None:
        """See RestartBudget; starts do not count here."""

    def failed(self, phase: Phase, now: float) -> bool:
        """See RestartBudget."""
        failures = self._failures.setdefault(phase, [])
        if failures and now - failures[-1] >= self._window:
            failures.clear()
        failures.append(now)
        return len(failures) >= self._limit

    def left(self, phase: Phase) -> None:
        """See RestartBudget."""
        self._failures.pop(phase, None)

    def reset(self) -> None:
        """See RestartBudget."""
        self._failures.clear()

    @property
    def failures(self) -> int:
        """See RestartBudget."""
        return max(map(len, self._failures.values()), default=0)


class StartBudget:
    """Give up when a phase would be started more than ``limit`` times in a window (systemd, so nucleus lite).

    A window begins with the first start after the one before has passed.
    """

    def __init__(self, limit: int, window: float) -> None:
        self._limit, self._window = limit, window
        self._windows: dict[Phase, tuple[float, int]] = {}
        self._failures: dict[Phase, int] = {}

    def started(self, phase: Phase, now: float) -> None:
        """See RestartBudget."""
        if (open_window := self._open(phase, now)) is None:
            self._windows[phase] = (now, 1)
            self._failures[phase] = 0
        else:
            began, starts = open_window
            self._windows[phase] = (began, starts + 1)

    def failed(self, phase: Phase, now: float) -> bool:
        """See RestartBudget."""
        self._failures[phase] = self._failures.get(phase, 0) + 1
        open_window = self._open(phase, now)
        return open_window is not None and open_window[1] >= self._limit

    def left(self, phase: Phase) -> None:
        """See RestartBudget; systemd does not forget starts for this."""

    def reset(self) -> None:
        """See RestartBudget; ``systemctl reset-failed``."""
        self._windows.clear()
        self._failures.clear()

    @property
    def failures(self) -> int:
        """See RestartBudget."""
        return max(self._failures.values(), default=0)

    def _open(self, phase: Phase, now: float) -> tuple[float, int] | None:
        window = self._windows.get(phase)
        return window if window is not None and now - window[0] <= self._window else None


def budget(rules: RestartRules) -> RestartBudget:
    """Return a new budget for one component."""
    kind = StartBudget if rules.counts_starts else FailureBudget
    return kind(rules.limit, rules.window)
