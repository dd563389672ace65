"""Another model for the forecaster of single series, tried in a child while the one there was goes on."""

from __future__ import annotations

from pathlib import Path

from edge_components.anomaly_detector.errors import ModelRefusedError
from edge_components.anomaly_detector.models.manifest import Manifest
from edge_components.anomaly_detector.models.tflite_model import SHIPPED, Model, TfliteForecast
from edge_components.anomaly_detector.models.trial_run import Trial
from edge_components.common.lifecycle import Runtime


class ForecasterSwap:
    """At most one trial at a time; the configuration's newest wish counts."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._trial: tuple[Trial, Manifest, bytes] | None = None

    def begin(self, path: str) -> None:
        """Begin the trial of a manifest's model; the empty path is the one that comes with the component."""
        self.close()
        try:
            manifest = Manifest.read(Path(path) if path else SHIPPED)
            content = manifest.content()
            self._trial = Trial(Path(path) if path else SHIPPED), manifest, content
        except ModelRefusedError as error:
            self._refused(error)

    def tick(self) -> TfliteForecast | None:
        """Return the forecaster that passed its trial, once."""
        if self._trial is None or not self._trial[0].over():
            return None
        (trial, manifest, content), self._trial = self._trial, None
        try:
            trial.outcome()
            forecast = TfliteForecast(Model(manifest, content))
        except ModelRefusedError as error:
            self._refused(error)
            return None
        self._runtime.counters.add("models_swapped_in")
        self._runtime.log.info("model %s forecasts from now on", manifest.name)
        return forecast

    def close(self) -> None:
        """End a trial that goes on."""
        if self._trial is not None:
            self._trial[0].abandon()
            self._trial = None

    def _refused(self, error: ModelRefusedError) -> None:
        self._runtime.counters.add("model_refused")
        self._runtime.log.error("the forecaster keeps its model: %s", error)
