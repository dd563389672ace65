"""A group's model in use: the output and the time of its calls are checked.

A model that crashes the process, or hangs until the watchdog ends it (:mod:`calls`), is rejected at the next start
(:mod:`model_store`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.config import Config
from edge_components.anomaly_detector.errors import ModelRejectedError
from edge_components.anomaly_detector.model_runtime.calls import Calls
from edge_components.anomaly_detector.model_runtime.group_scorer import GroupScorer, Run
from edge_components.anomaly_detector.model_runtime.manifest import GroupManifest

FIRST_CALLS = 20
"""Number of successful calls after which a model is confirmed."""
MAX_SLOW = 3
"""Number of slow calls among them after which it is rejected."""
MONTH_MS = 30 * 86_400_000.0


@dataclass(slots=True)
class LiveModel:
    """One model of one group in use."""

    identity: str
    manifest: GroupManifest
    run: Run
    calls: Calls
    previous: LiveModel | None = None
    scorer: GroupScorer | None = None
    proven: bool = False
    saved: int = 0

    def __call__(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Run it; raises ModelRejectedError if it fails, or is too slow too often."""
        calls = self.calls
        output = calls.make(self.run, windows)
        if output.shape != (len(windows), self.manifest.output_values):
            raise ModelRejectedError(f"model {self.manifest.name}: output is {output.shape} for {len(windows)} rows")
        if calls.last_s > calls.allowed_s and (calls.too_slow or (not self.proven and calls.slow >= MAX_SLOW)):
            raise ModelRejectedError(
                f"model {self.manifest.name}: {calls.slow} of its {'' if self.proven else 'first '}{calls.made} calls "
                f"took more than {calls.allowed_s * 1000:g} ms, the last {calls.last_s * 1000:.1f} ms"
            )
        return output

    def figures(self) -> dict[str, Any]:
        """Return the statistics for the health report."""
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
    """Return a new scorer for a model."""
    manifest = live.manifest
    max_devices = max(1, config.max_series // len(manifest.channels))
    probability = alarm_probability(manifest, config)
    return GroupScorer(manifest, live, config.calibration_windows, probability, config.drift_windows, max_devices)


def alarm_probability(manifest: GroupManifest, config: Config) -> float:
    """Return the probability that a channel's error exceeds its level: half the allowed rate of false alarms."""
    return float(config.false_alarms_per_month * manifest.interval_ms / MONTH_MS / 2.0)
