"""The anomaly detector on the bus: publishes scored batches and anomalies to the forwarder.

The aggregator keeps its batches until the forwarder has acknowledged them, so this component does not store them; a
repeated batch is answered from a cache. Anomalies originate here, and stay in the outbox until acknowledged.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector import state_file
from edge_components.anomaly_detector.config import Config
from edge_components.anomaly_detector.errors import StateError
from edge_components.anomaly_detector.model_runtime.forecaster_manager import ForecasterManager
from edge_components.anomaly_detector.model_runtime.model_manager import ModelManager
from edge_components.anomaly_detector.scoring import Scoring
from edge_components.anomaly_detector.univariate.ensemble import Ensemble
from edge_components.anomaly_detector.univariate.forecaster import Forecast
from edge_components.anomaly_detector.warmup_filter import WarmupFilter
from edge_components.common import aggregates_message
from edge_components.common.delivery import BatchSender, try_publish
from edge_components.common.errors import HandoverError
from edge_components.common.handover import Outbox, RetryPolicy, new_epoch
from edge_components.common.lifecycle import Runtime
from edge_components.common.receiving import BatchReceiver
from wire import topics
from wire.codec import encode
from wire.errors import TooLargeError
from wire.limits import MAX_BATCH_BYTES, MAX_LOCAL_BYTES
from wire.model import Aggregates, Anomalies, Anomaly, Batch, is_statistic

STATE = "calibration.npz"
CACHED = 128
"""Number of scored batches cached for retransmissions; more than the aggregator has in flight."""


class AnomalyDetector:
    """See :class:`edge_components.common.lifecycle.Component`."""

    def __init__(
        self,
        config: Config,
        runtime: Runtime,
        forecast: Forecast,
        models: ModelManager | None = None,
        forecasters: ForecasterManager | None = None,
    ) -> None:
        self._config, self._runtime, self._forecast = config, runtime, forecast
        self._models = models or ModelManager(config, runtime)
        self._forecasters = forecasters or ForecasterManager(config, runtime)
        self._scoring = self._new_scoring(Ensemble(config.settings, forecast))
        epoch = new_epoch(runtime.clock.wall_ms(), runtime.rng)
        self._outbox = Outbox(epoch, RetryPolicy(), runtime.rng)
        self._sender = BatchSender(
            self._outbox,
            runtime.bus,
            topics.SCORED,
            topics.SCORED_ACK,
            runtime.counters,
            runtime.limited_log,
            runtime.rng,
        )
        self._receiver = BatchReceiver(topics.AGGREGATES, runtime.gateway, (Aggregates,), runtime.limited_log)
        self._warmup = WarmupFilter(config.warm_up_windows, config.reported)
        self._answered: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._saved, self._changed = runtime.clock.monotonic(), False

    def start(self) -> None:
        """Restore the saved calibration and subscribe."""
        self._restore()
        self._models.start()
        self._sender.start()
        self._runtime.bus.subscribe(topics.AGGREGATES, self._on_aggregates, expects_traffic=True)

    def tick(self) -> float:
        """Send anomalies that are due, poll the models, and save the calibration when it is due."""
        now = self._runtime.clock.monotonic()
        self._models.tick()
        forecast = self._forecasters.tick()
        if forecast is not None:
            self._forecast = self._scoring.ensemble.forecast = forecast
        self._sender.send_due(now)
        if self._changed and now - self._saved >= self._config.save_seconds:
            self._save()
        save_s = max(0.0, self._saved + self._config.save_seconds - now) if self._changed else float("inf")
        return min(self._sender.next_s(now), save_s)

    def reconfigure(self, config: Config) -> None:
        """Apply new settings; only a changed length of calibration or season restarts the calibration."""
        before, self._config = self._config, config
        self._scoring.registry.max_series = config.max_series
        self._warmup = WarmupFilter(config.warm_up_windows, config.reported)
        self._models.reconfigure(config)
        self._forecasters.reconfigure(config)
        lengths = config.calibration_windows, config.season_windows
        if lengths == (before.calibration_windows, before.season_windows):
            self._scoring.ensemble.configure(config.settings)
            if config.group_settings != before.group_settings:
                self._scoring.regroup(config.group_settings)
        else:
            self._scoring = self._new_scoring(Ensemble(config.settings, self._forecast))

    def close(self) -> None:
        """Save the calibration if it changed; unacknowledged anomalies have been published at least once."""
        if self._changed:
            self._save()
        self._forecasters.close()
        self._models.close()

    def health(self) -> dict[str, Any]:
        """Return the models and the forecaster for the health report."""
        return {"models": self._models.health(), "forecaster": self._forecasters.health()}

    def _on_aggregates(self, _topic: str, payload: bytes) -> None:
        received = self._receiver.receive(payload)
        if received is None:
            return
        batch, rows = received
        if rows is None:  # the forwarder, which acknowledges the aggregator's batches, moves it to the quarantine
            self._publish(payload)
            return
        name = (batch.epoch, batch.sequence)
        if name in self._answered:
            self._runtime.counters.add("batches_repeated")
        else:
            self._answer(name, payload, batch, rows)
        self._publish(self._answered[name])

    def _answer(self, name: tuple[int, int], payload: bytes, batch: Batch, rows: Aggregates) -> None:
        """Score a batch and cache the result; after any failure its rows are passed on unscored."""
        answer = payload
        reports: list[Anomaly] = []
        try:
            live = (rows.revision == 0) & self._scored(rows)
            if not live.any():
                # Rows of late readings are out of order, and an alarm on them would concern the past.
                self._runtime.counters.add("windows_unscored", len(rows))
                self._cache(name, payload)
                return
            self._changed = True
            scored, reports = self._score(rows, live)
            for series in self._scoring.forgotten:
                text = f"{series} is silent and was replaced: the limit is {self._config.max_series} series"
                self._runtime.limited_log.warning("series_forgotten", text, key=series)
            answer = aggregates_message.encode(replace(batch, rows=scored), MAX_LOCAL_BYTES)
            self._runtime.counters.add("windows_scored", int(np.isfinite(scored.score).sum()))
            self._runtime.counters.add("windows_unscored", int(np.isnan(scored.score).sum()))
        except TooLargeError:
            self._runtime.counters.add("batches_without_room_for_scores")
        except Exception:  # rows are forwarded unscored if scoring fails
            self._runtime.counters.add("scoring_failed")
            self._runtime.log.exception("batch %d of epoch %x is forwarded unscored", batch.sequence, batch.epoch)
        self._cache(name, answer)
        self._enqueue([one for one in reports if self._passes(one)])

    def _scored(self, rows: Aggregates) -> npt.NDArray[np.bool_]:
        """Return a mask of the rows whose series are scored."""
        if self._config.score_statistics:
            return np.ones(len(rows), np.bool_)
        return np.array([not is_statistic(series.name) for series in rows.series], np.bool_)[rows.series_index]

    def _score(self, rows: Aggregates, live: npt.NDArray[np.bool_]) -> tuple[Aggregates, list[Anomaly]]:
        """Score the live rows; rows of late readings, and of statistics that are not scored, are not changed."""
        if live.all():
            return self._scoring.score(rows)
        scored, reports = self._scoring.score(rows.take(np.flatnonzero(live)).compact())
        score = rows.score.copy()
        score[live] = scored.score
        return replace(rows, score=score), reports

    def _cache(self, name: tuple[int, int], answer: bytes) -> None:
        """Cache the scored batch for retransmissions."""
        self._answered[name] = answer
        while len(self._answered) > CACHED:
            self._answered.popitem(last=False)

    def _passes(self, report: Anomaly) -> bool:
        if self._warmup.passes(report, self._scoring.watched(report.series)):
            return True
        self._runtime.counters.add(f"anomalies_withheld_{report.phase}")
        return False

    def _enqueue(self, reports: list[Anomaly]) -> None:
        """Add reports to the outbox, in as few batches as possible."""
        waiting = [reports] if reports else []
        while waiting:
            part = waiting.pop(0)
            batch = Batch(self._runtime.gateway, self._outbox.epoch, self._outbox.next_sequence, Anomalies(tuple(part)))
            try:
                self._keep(encode(batch, MAX_BATCH_BYTES))
            except TooLargeError:
                half = len(part) // 2  # a report has a few hundred bytes: too large means two or more
                waiting[:0] = [part[:half], part[half:]]
                continue
            for report in part:
                self._runtime.counters.add(f"anomalies_{report.phase}")

    def _keep(self, payload: bytes) -> None:
        while True:
            try:
                self._outbox.add(payload)
                return
            except HandoverError:
                self._outbox.drop_oldest()
                self._runtime.counters.add("dropped_anomaly_batches")

    def _publish(self, payload: bytes) -> None:
        """Publish a scored batch; the aggregator sends it again until the forwarder acknowledges it."""
        try_publish(self._runtime.bus, topics.SCORED, payload, "scored batch", self._runtime.limited_log)

    def _restore(self) -> None:
        log = self._runtime.log
        try:
            kept = state_file.read(self._runtime.work / STATE)
            if kept is None:
                return
            names, arrays = kept
            ensemble = Ensemble(self._config.settings, self._forecast)
            grouped = {name: arrays.pop(name) for name in list(arrays) if name.startswith("group")}
            ensemble.restore(arrays)
            if len(ensemble) != len(names):
                raise StateError(f"state: {len(names)} names for {len(ensemble)} series")
        except (StateError, ValueError) as error:
            self._runtime.counters.add("state_rejected")
            log.warning("calibration restarts: %s", error)
            return
        self._scoring = self._new_scoring(ensemble, names)
        log.info("calibration of %d series restored", len(names))
        try:
            self._scoring.groups.restore(grouped)
        except ValueError as error:
            self._scoring.regroup(self._config.group_settings)
            log.warning("groups are calibrated again: %s", error)

    def _new_scoring(self, ensemble: Ensemble, names: Sequence[str] = ()) -> Scoring:
        return Scoring(ensemble, self._config.max_series, names, self._models, self._config.group_settings)

    def _save(self) -> None:
        self._models.save()
        self._saved, self._changed = self._runtime.clock.monotonic(), False
        try:
            state_file.save(self._runtime.work / STATE, self._scoring.names, self._scoring.state())
        except StateError as error:
            self._runtime.counters.add("state_not_saved")
            self._runtime.log.warning("%s", error)
