"""Feed recorded windows to a detector component and collect its scores and reports, to compare versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge_components.anomaly_detector.component import AnomalyDetector
from edge_components.anomaly_detector.config import Config
from edge_components.anomaly_detector.univariate.forecaster import plain_forecast
from edge_components.common import aggregates_message
from edge_components.common.config import load
from tests.fakes import fake_runtime
from wire import topics
from wire.model import Aggregates, Anomalies, Batch, Series

NAMES = ("pump.pressure", "pump.flow", "pump.current", "tank.level")
SERIES = tuple(Series(name, "V", 0.01) for name in NAMES)
START_MS = 1_700_000_000_000
WIDTH_MS = 1000
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "season": {"calibration_windows": 40, "season_windows": 12, "group_windows": 120, "drift_windows": 500},
    "long": {"calibration_windows": 130, "season_windows": 0, "group_windows": 0, "drift_windows": 60},
}


class Detector:
    """The component on fakes with its state in ``work``."""

    def __init__(self, work: Path, configuration: dict[str, Any]) -> None:
        self.runtime, self._bus, _ = fake_runtime(work)
        self.component = AnomalyDetector(load(Config, configuration), self.runtime, plain_forecast)
        self.component.start()

    def send(self, second: int, mean: np.ndarray) -> None:
        """Deliver one window; series whose mean is NaN are absent."""
        rows = np.flatnonzero(np.isfinite(mean))
        value, n = mean[rows], len(rows)
        spread = 0.05 + 0.01 * ((second + rows) % 3)
        aggregates = Aggregates(
            SERIES,
            rows,
            np.full(n, START_MS + WIDTH_MS * second),
            np.full(n, WIDTH_MS),
            5 - (second + rows) % 2,
            value,
            value - 2 * spread,
            value + 2 * spread,
            spread,
            np.full(n, np.nan),
        )
        self._bus.deliver(topics.AGGREGATES, aggregates_message.encode(Batch("gw-test", 7, second + 1, aggregates)))
        self.component.tick()

    def scores(self, seconds: range) -> np.ndarray:
        """Return the published scores [windows, series] of some windows; NaN where a series was absent."""
        scores = np.full((len(seconds), len(NAMES)), np.nan)
        for payload in self._bus.on(topics.SCORED):
            batch = aggregates_message.decode(payload)
            if isinstance(batch.rows, Aggregates) and batch.sequence - 1 in seconds:
                scores[seconds.index(batch.sequence - 1), batch.rows.series_index] = batch.rows.score
        return scores

    def reports(self) -> list[str]:
        """Return the published reports, each as one line."""
        batches = [aggregates_message.decode(payload) for payload in self._bus.on(topics.SCORED)]
        reports = [one for batch in batches if isinstance(batch.rows, Anomalies) for one in batch.rows.reports]
        return [f"{one.series} {one.phase} {one.cause} {one.score} {one.expected}" for one in reports]
