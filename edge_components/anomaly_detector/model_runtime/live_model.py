"""A group's model at work: what its calls give back is checked, and how long they take.

One that crashes the process, or stands still until the watchdog ends it (:mod:`calls`), is found guilty at the next
start (:mod:`model_store`), and is not loaded again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.config import Config
from edge_components.anomaly_detector.errors import ModelRefusedError
from edge_components.anomaly_detector.model_runtime.calls import Calls
from edge_components.anomaly_detector.model_runtime.group_scorer import GroupScorer, Run
from edge_components.anomaly_detector.model_runtime.manifest import GroupManifest

FIRST_CALLS = 20
"""Calls that a model must do well before it counts."""
MOST_SLOW = 3
"""So many of them may not take longer than allowed."""
MONTH_MS = 30 * 86_400_000.0


@dataclass(slots=True)
class LiveModel:
    """One model of one group, as it scores."""

    identity: str
    manifest: GroupManifest
    run: Run
    calls: Calls
    previous: LiveModel | None = None
    scorer: GroupScorer | None = None
    proven: bool = False
    saved: int = 0

    def __call__(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Run it; raises ModelRefusedError where it fails, or too often takes too long."""
        calls = self.calls
        output = calls.make(self.run, windows)
        if output.shape != (len(windows), self.manifest.outputs_wanted):
            raise ModelRefusedError(f"model {self.manifest.name}: output is {output.shape} for {len(windows)} rows")
        if calls.last_s > calls.allowed_s and (calls.too_slow or (not self.proven and calls.slow >= MOST_SLOW)):
            raise ModelRefusedError(
                f"model {self.manifest.name}: {calls.slow} of its {'' if self.proven else 'first '}{calls.made} calls "
                f"took more than {calls.allowed_s * 1000:g} ms, the last {calls.last_s * 1000:.1f} ms"
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
            "slow_calls": self.calls.slow,
            "call_us": round(1e6 * self.calls.busy_s / max(1, self.calls.made), 1),
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
