"""A group's model at work: its calls are timed, and in its first ones watched for standing still.

A call into the interpreter cannot be interrupted. So a model that stands still in its first calls ends the process
after a while, is found guilty at the next start (:mod:`model_store`), and is not loaded again.
"""

from __future__ import annotations

import faulthandler
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.config import Config
from edge_components.anomaly_detector.errors import ModelRefusedError
from edge_components.anomaly_detector.models.group_scorer import GroupScorer, Run
from edge_components.anomaly_detector.models.manifest import GroupManifest

FIRST_CALLS = 20
"""Calls that a model must do well before it counts."""
MOST_SLOW = 3
"""So many of them may not take longer than allowed."""
MONTH_MS = 30 * 86_400_000.0
STILL_SECONDS = 20.0
"""A call that takes so long stands still."""


class Watch(Protocol):
    """Ends the process when it is not disarmed in time."""

    def arm(self, seconds: float) -> None:
        """Begin to wait."""

    def disarm(self) -> None:
        """Wait no more."""


class ProcessWatch:
    """The interpreter's own watchdog thread: it needs nothing of the thread that stands still."""

    def arm(self, seconds: float) -> None:
        """Begin to wait."""
        faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or sys.stderr)

    def disarm(self) -> None:
        """Wait no more."""
        faulthandler.cancel_dump_traceback_later()


@dataclass(slots=True)
class LiveModel:
    """One model of one group, as it scores."""

    identity: str
    manifest: GroupManifest
    run: Run
    allowed_s: float
    watch: Watch
    previous: LiveModel | None = None
    scorer: GroupScorer | None = None
    calls: int = 0
    slow: int = 0
    busy_s: float = 0.0
    cpu: Callable[[], float] = time.thread_time
    proven: bool = False
    saved: int = 0

    def __call__(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Run it; raises ModelRefusedError where it fails, or too many of its first calls take too long."""
        if self.proven:
            return self._call(windows)
        self.watch.arm(STILL_SECONDS)
        try:
            return self._call(windows)
        finally:
            self.watch.disarm()

    def _call(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        # Processor time, not the clock's: a busy gateway is no fault of the model.
        began = self.cpu()
        output = self.run(windows)
        took = self.cpu() - began
        self.calls += 1
        self.busy_s += took
        if output.shape != (len(windows), self.manifest.outputs_wanted):
            raise ModelRefusedError(f"model {self.manifest.name}: output is {output.shape} for {len(windows)} rows")
        if took > self.allowed_s:
            self.slow += 1
            if not self.proven and self.slow >= MOST_SLOW:
                raise ModelRefusedError(
                    f"model {self.manifest.name}: {self.slow} of its first {self.calls} calls took more than "
                    f"{self.allowed_s * 1000:g} ms, the last {took * 1000:.1f} ms"
                )
        return output

    def figures(self) -> dict[str, Any]:
        """Return what the health report says of it."""
        scorer = self.scorer
        if scorer is None:
            return {}
        return {
            "devices": len(scorer.devices),
            "calibrated": int(scorer.levels.calibrated.sum()),
            "windows": scorer.windows_scored,
            "windows_broken": scorer.windows_broken,
            "windows_of_other_width": scorer.windows_of_other_width,
            "drifts": scorer.drifts,
            "slow_calls": self.slow,
            "call_us": round(1e6 * self.busy_s / max(1, self.calls), 1),
        }


def scorer_for(live: LiveModel, config: Config) -> GroupScorer:
    """Return a scorer that begins anew with a model."""
    manifest = live.manifest
    most = max(1, config.max_series // len(manifest.channels))
    probability = alarm_probability(manifest, config)
    return GroupScorer(manifest, live, config.calibration_windows, probability, config.drift_windows, most)


def alarm_probability(manifest: GroupManifest, config: Config) -> float:
    """Return how rarely a channel's error may pass its level: half the false alarms that a series is allowed."""
    return float(config.false_alarms_per_month * manifest.interval_ms / MONTH_MS / 2.0)
