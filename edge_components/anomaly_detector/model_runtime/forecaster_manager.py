"""Manage the model that forecasts single series: the one at the start, and others that are swapped in live.

A model from outside that fails in operation is rejected permanently, and NumPy, which computes the same forecasts as
the shipped model, replaces it. The shipped model is never rejected permanently: after a failure NumPy replaces it until
the next start, so that it cannot end the component repeatedly.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from edge_components.anomaly_detector.config import Config
from edge_components.anomaly_detector.errors import ModelRejectedError, StateError, ValidationInterruptedError
from edge_components.anomaly_detector.model_runtime import in_flight_marker
from edge_components.anomaly_detector.model_runtime.calls import Calls, Watchdog
from edge_components.anomaly_detector.model_runtime.in_flight_marker import InFlightMarker
from edge_components.anomaly_detector.model_runtime.live_forecast import LiveForecast
from edge_components.anomaly_detector.model_runtime.manifest import Manifest
from edge_components.anomaly_detector.model_runtime.model_store import ModelStore, identity_of
from edge_components.anomaly_detector.model_runtime.tflite_model import SHIPPED, Model, TfliteForecast
from edge_components.anomaly_detector.model_runtime.validation_process import Validation, ValidationProcess
from edge_components.anomaly_detector.univariate.forecaster import Forecast, plain_forecast
from edge_components.common.lifecycle import Runtime

GROUP = "single"
"""Name of the forecasters' group in the store."""

Load = Callable[[Manifest, bytes], Forecast]


def load(manifest: Manifest, content: bytes) -> Forecast:
    """Load a forecaster; raises ModelRejectedError."""
    return TfliteForecast(Model(manifest, content))


def untimed() -> float:
    """Return zero: reading the processor time is expensive, and the time of the shipped model is known."""
    return 0.0


@dataclass(frozen=True, slots=True)
class RequestedModel:
    """A forecaster that the configuration requests; the empty path is the shipped one."""

    path: Path
    shipped: bool
    manifest: Manifest
    content: bytes
    identity: str

    @classmethod
    def read(cls, path: str) -> Self:
        """Read the manifest and the model at a path; raises ModelRejectedError."""
        where = Path(path) if path else SHIPPED
        manifest = Manifest.read(where)
        try:
            identity = identity_of(where.read_bytes())
        except OSError as error:
            raise ModelRejectedError(f"manifest {where}: {error}") from error
        return cls(where, not path, manifest, manifest.content(), identity)


MAX_INTERRUPTIONS = 3
"""Number of validations ended from outside after which no other validation begins."""


class ForecasterManager:
    """Run at most one validation at a time; the newest configuration takes precedence."""

    def __init__(
        self,
        config: Config,
        runtime: Runtime,
        load_model: Load = load,
        validate: Callable[[Path], Validation] = ValidationProcess,
        watchdog: Watchdog | None = None,
        crash: str = "",
    ) -> None:
        """``crash`` is the first line of the previous process' crash log."""
        self._config, self._runtime, self._load, self._validate = config, runtime, load_model, validate
        self._watchdog, self._crash = watchdog or Watchdog(), crash
        self._store = ModelStore(runtime.work / "forecasters")
        self._validation: tuple[Validation, RequestedModel] | None = None
        self._live: LiveForecast | None = None
        self._reason = ""
        self._interruptions, self._again = 0, False

    def first(self) -> Forecast:
        """Return the first forecaster; waits for its validation, and returns NumPy's if that fails."""
        self._open()
        try:
            requested = RequestedModel.read(self._config.model)
            if requested.shipped and (reason := self._store.clear_rejection(GROUP, requested.identity)):
                raise ModelRejectedError(f"until the next start, for {reason}")
            self._admit(requested)
            return self._swap(requested, self._validate(requested.path).wait())
        except StateError as error:
            self._warn(error)
        except ValidationInterruptedError as error:
            self._runtime.limited_log.warning("validations_interrupted", str(error))
            self._interruptions, self._again = 1, True
        except ModelRejectedError as error:
            self._log_rejection("the forecaster runs without its model", str(error))
        return plain_forecast

    def reconfigure(self, config: Config) -> None:
        """Start a validation if another model is requested, or if the allowed time was increased."""
        before, self._config = self._config, config
        allowed_changed = config.model_milliseconds != before.model_milliseconds
        if allowed_changed:
            self._warn_on_failure(self._store.clear_rejections)
            if self._live is not None:
                self._live.calls.allowed_s = config.model_milliseconds / 1000.0
        if config.model != before.model or (allowed_changed and (self._live is None or not self._live.works)):
            self._begin(config.model)

    def tick(self) -> Forecast | None:
        """Return a forecaster once, after it has passed its validation."""
        if self._again:
            self._again = False
            self._begin(self._config.model)
        if self._validation is None or not self._validation[0].is_finished():
            return None
        (trial, requested), self._validation = self._validation, None
        try:
            forecast = self._swap(requested, trial.outcome())
        except ValidationInterruptedError as error:
            self._interruptions += 1
            self._again = self._interruptions < MAX_INTERRUPTIONS
            self._runtime.limited_log.warning("validations_interrupted", str(error))
            return None
        except ModelRejectedError as error:
            self._log_rejection("the forecaster keeps its model", str(error))
            return None
        self._runtime.counters.add("models_swapped_in")
        self._runtime.log.info("model %s forecasts from now on", requested.manifest.name)
        return forecast

    def close(self) -> None:
        """Cancel the current validation."""
        self._cancel()
        self._warn_on_failure(self._store.close)

    def health(self) -> dict[str, Any]:
        """Return the forecaster in use, and the reason if it is not the requested one."""
        works = self._live is not None and self._live.works
        by = self._live.calls.name if self._live is not None and works else "NumPy"
        return {"by": by, **({"rejected": self._reason} if self._reason else {})}

    def _open(self) -> None:
        try:
            for verdict in self._store.open(self._crash):
                self._runtime.counters.add(f"models_{verdict.what}")
                self._runtime.log.error("the forecaster's model %s failed: %s", verdict.version, verdict.reason)
        except StateError as error:
            self._warn(error)

    def _begin(self, path: str) -> None:
        self._cancel()
        try:
            requested = RequestedModel.read(path)
            self._admit(requested)
            self._validation = self._validate(requested.path), requested
        except ModelRejectedError as error:
            self._log_rejection("the forecaster keeps its model", str(error))

    def _admit(self, requested: RequestedModel) -> None:
        reason = self._store.group(GROUP).rejected.get(requested.identity)
        if reason is not None and not requested.shipped:
            raise ModelRejectedError(f"model {requested.manifest.name} was rejected before: {reason}")

    def _swap(self, requested: RequestedModel, call_s: float) -> LiveForecast:
        allowed_s = self._config.model_milliseconds / 1000.0
        if call_s > allowed_s and not requested.shipped:
            raise ModelRejectedError(
                f"a call takes {call_s * 1000:.1f} ms in its validation, allowed are {allowed_s * 1000:g} ms"
            )
        forecast = self._load(requested.manifest, requested.content)
        cpu = untimed if requested.shipped else time.thread_time
        calls = Calls(f"model {requested.manifest.name}", allowed_s, self._marker(requested), self._watchdog, cpu)
        self._live = LiveForecast(forecast, calls, lambda reason: self._failed(requested, reason))
        self._reason = ""
        return self._live

    def _marker(self, requested: RequestedModel) -> InFlightMarker:
        """Return a model's in-flight marker, and record the model so that the next start reads it."""
        folder = self._store.folder(GROUP, requested.identity)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            marker = InFlightMarker(folder / in_flight_marker.FILE)
            if self._store.group(GROUP).unproven != requested.identity:  # a suspected model remains suspected
                self._store.confirm(GROUP, requested.identity, None)
        except (OSError, StateError) as error:
            self._warn(error)
            return InFlightMarker()
        return marker

    def _failed(self, requested: RequestedModel, reason: str) -> None:
        self._runtime.counters.add("models_rolled_back")
        self._log_rejection("the forecaster continues without its model", reason)
        if not requested.shipped:
            self._warn_on_failure(lambda: self._store.reject(GROUP, requested.identity, reason, None))

    def _log_rejection(self, what: str, reason: str) -> None:
        self._reason = reason
        self._runtime.counters.add("models_rejected")
        self._runtime.log.error("%s: %s", what, reason)

    def _cancel(self) -> None:
        if self._validation is not None:
            self._validation[0].cancel()
            self._validation = None

    def _warn_on_failure(self, step: Callable[[], None]) -> None:
        try:
            step()
        except StateError as error:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        self._runtime.counters.add("models_not_saved")
        self._runtime.log.warning("a failure of the forecaster may be unknown at the next start: %s", error)
