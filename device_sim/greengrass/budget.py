"""Restart budgets: the number of failures until a component is BROKEN; pure.

Each phase has its own budget, because both nuclei count failures of the install and the run step separately.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from device_sim.greengrass.profile import RestartRules


class Phase(StrEnum):
    """Part of the component lifecycle whose failures are counted together."""

    INSTALL = "install"
    RUN = "run"


class RestartBudget(Protocol):
    """Counter of failures; all times are seconds of a monotonic clock."""

    def started(self, phase: Phase, now: float) -> None:
        """Record a start."""

    def failed(self, phase: Phase, now: float) -> bool:
        """Record a failure and return whether the component becomes BROKEN."""

    def left(self, phase: Phase) -> None:
        """Record that a phase ended without a failure."""

    def reset(self) -> None:
        """Reset the count of failures."""

    @property
    def failures(self) -> int:
        """Number of failures that count at present."""


class FailureBudget:
    """Budget of ``limit`` failures of a phase, each within ``window`` seconds of the previous one (Java nucleus)."""

    def __init__(self, limit: int, window: float) -> None:
        self._limit, self._window = limit, window
        self._failures: dict[Phase, list[float]] = {}

    def started(self, phase: Phase, now: float) -> None:
        """Ignore the start; only failures count."""

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
    """Budget of ``limit`` starts of a phase in a window (systemd, used by nucleus lite).

    A window begins with the first start after the previous window has passed.
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
        """Ignore the success; systemd keeps counting starts."""

    def reset(self) -> None:
        """Reset the counts, as ``systemctl reset-failed`` does."""
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
