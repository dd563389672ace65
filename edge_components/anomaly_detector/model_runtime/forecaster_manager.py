"""Which model forecasts single series: the one at the start, and others that are swapped in while it goes on.

One from outside that fails at work is not taken again, and NumPy, which forecasts the same as the one that comes with
the component, takes its place. That one is never refused for good: where it failed, NumPy takes its place until the
component's next start, so that it cannot end the component again and again either.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from edge_components.anomaly_detector.config import Config
from edge_components.anomaly_detector.errors import ModelRefusedError, StateError, TrialInterruptedError
from edge_components.anomaly_detector.model_runtime import in_flight_marker
from edge_components.anomaly_detector.model_runtime.calls import Calls, Watchdog
from edge_components.anomaly_detector.model_runtime.live_forecast import LiveForecast
from edge_components.anomaly_detector.model_runtime.manifest import Manifest
from edge_components.anomaly_detector.model_runtime.model_store import ModelStore, identity_of
from edge_components.anomaly_detector.model_runtime.tflite_model import SHIPPED, Model, TfliteForecast
from edge_components.anomaly_detector.model_runtime.validation_process import Trial, Trying
from edge_components.anomaly_detector.univariate.forecaster import Forecast, plain_forecast
from edge_components.common.lifecycle import Runtime

GROUP = "single"
"""What the store knows them by."""

Load = Callable[[Manifest, bytes], Forecast]


def load(manifest: Manifest, content: bytes) -> Forecast:
    """Load a forecaster; raises ModelRefusedError."""
    return TfliteForecast(Model(manifest, content))


def untimed() -> float:
    """Reading the processor's time costs more than the mark, and how long the shipped model takes is known."""
    return 0.0


@dataclass(frozen=True, slots=True)
class Wish:
    """A model that is to forecast; the empty path is the one that comes with the component."""

    path: Path
    shipped: bool
    manifest: Manifest
    content: bytes
    identity: str

    @classmethod
    def read(cls, path: str) -> Self:
        """Read what is wished for; raises ModelRefusedError."""
        where = Path(path) if path else SHIPPED
        manifest = Manifest.read(where)
        try:
            identity = identity_of(where.read_bytes())
        except OSError as error:
            raise ModelRefusedError(f"manifest {where}: {error}") from error
        return cls(where, not path, manifest, manifest.content(), identity)


MAX_INTERRUPTIONS = 3
"""Validations that are ended from outside before no further one is begun."""


class Forecasters:
    """At most one trial at a time; the configuration's newest wish counts."""

    def __init__(
        self,
        config: Config,
        runtime: Runtime,
        load_model: Load = load,
        try_model: Callable[[Path], Trying] = Trial,
        dog: Watchdog | None = None,
        last_words: str = "",
    ) -> None:
        """``last_words`` are what the process before this one said if it crashed."""
        self._config, self._runtime, self._load, self._try = config, runtime, load_model, try_model
        self._dog, self._last_words = dog or Watchdog(), last_words
        self._store = ModelStore(runtime.work / "forecasters")
        self._trial: tuple[Trying, Wish] | None = None
        self._live: LiveForecast | None = None
        self._reason = ""
        self._interruptions, self._again = 0, False

    def first(self) -> Forecast:
        """Return the forecaster to begin with; waits for its trial, and does without a model where that fails."""
        self._open()
        try:
            wish = Wish.read(self._config.model)
            if wish.shipped and (reason := self._store.pardon(GROUP, wish.identity)):
                raise ModelRefusedError(f"until the next start, for {reason}")
            self._admit(wish)
            return self._swap(wish, self._try(wish.path).wait())
        except StateError as error:
            self._complain(error)
        except TrialInterruptedError as error:
            self._runtime.limited_log.warning("validations_interrupted", str(error))
            self._interruptions, self._again = 1, True
        except ModelRefusedError as error:
            self._refused("the forecaster runs without its model", str(error))
        return plain_forecast

    def reconfigure(self, config: Config) -> None:
        """Begin the trial of another model, if another is wanted; what was too slow may be fast enough now."""
        before, self._config = self._config, config
        forgiven = config.model_milliseconds != before.model_milliseconds
        if forgiven:
            self._guard(self._store.forgive)
            if self._live is not None:
                self._live.calls.allowed_s = config.model_milliseconds / 1000.0
        if config.model != before.model or (forgiven and (self._live is None or not self._live.works)):
            self._begin(config.model)

    def tick(self) -> Forecast | None:
        """Return the forecaster that passed its trial, once."""
        if self._again:
            self._again = False
            self._begin(self._config.model)
        if self._trial is None or not self._trial[0].over():
            return None
        (trial, wish), self._trial = self._trial, None
        try:
            forecast = self._swap(wish, trial.outcome())
        except TrialInterruptedError as error:
            self._interruptions += 1
            self._again = self._interruptions < MAX_INTERRUPTIONS
            self._runtime.limited_log.warning("validations_interrupted", str(error))
            return None
        except ModelRefusedError as error:
            self._refused("the forecaster keeps its model", str(error))
            return None
        self._runtime.counters.add("models_swapped_in")
        self._runtime.log.info("model %s forecasts from now on", wish.manifest.name)
        return forecast

    def close(self) -> None:
        """End a trial that goes on."""
        self._abandon()
        self._guard(self._store.pause)

    def health(self) -> dict[str, Any]:
        """Return what forecasts, and why it is not what was wanted."""
        works = self._live is not None and self._live.works
        by = self._live.calls.name if self._live is not None and works else "NumPy"
        return {"by": by, **({"refused": self._reason} if self._reason else {})}

    def _open(self) -> None:
        try:
            for verdict in self._store.open(self._last_words):
                self._runtime.counters.add(f"models_{verdict.what}")
                self._runtime.log.error("the forecaster's model %s failed: %s", verdict.version, verdict.reason)
        except StateError as error:
            self._complain(error)

    def _begin(self, path: str) -> None:
        self._abandon()
        try:
            wish = Wish.read(path)
            self._admit(wish)
            self._trial = self._try(wish.path), wish
        except ModelRefusedError as error:
            self._refused("the forecaster keeps its model", str(error))

    def _admit(self, wish: Wish) -> None:
        reason = self._store.group(GROUP).refused.get(wish.identity)
        if reason is not None and not wish.shipped:
            raise ModelRefusedError(f"model {wish.manifest.name} was refused before: {reason}")

    def _swap(self, wish: Wish, call_s: float) -> LiveForecast:
        allowed_s = self._config.model_milliseconds / 1000.0
        if call_s > allowed_s and not wish.shipped:
            raise ModelRefusedError(
                f"a call of it takes {call_s * 1000:.1f} ms in its trial, allowed are {allowed_s * 1000:g} ms"
            )
        forecast = self._load(wish.manifest, wish.content)
        cpu = untimed if wish.shipped else time.thread_time
        calls = Calls(f"model {wish.manifest.name}", allowed_s, self._mark(wish), self._dog, cpu)
        self._live = LiveForecast(forecast, calls, lambda reason: self._failed(wish, reason))
        self._reason = ""
        return self._live

    def _mark(self, wish: Wish) -> in_flight_marker.Mark:
        """Make a model's mark, and see to it that the next start looks at it."""
        folder = self._store.folder(GROUP, wish.identity)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            mark = in_flight_marker.Mark(folder / in_flight_marker.FILE)
            if self._store.group(GROUP).trying != wish.identity:  # a suspect stays one
                self._store.confirm(GROUP, wish.identity, None)
        except (OSError, StateError) as error:
            self._complain(error)
            return in_flight_marker.Mark()
        return mark

    def _failed(self, wish: Wish, reason: str) -> None:
        self._runtime.counters.add("models_taken_back")
        self._refused("the forecaster goes on without its model", reason)
        if not wish.shipped:
            self._guard(lambda: self._store.refuse(GROUP, wish.identity, reason, None))

    def _refused(self, what: str, reason: str) -> None:
        self._reason = reason
        self._runtime.counters.add("model_refused")
        self._runtime.log.error("%s: %s", what, reason)

    def _abandon(self) -> None:
        if self._trial is not None:
            self._trial[0].abandon()
            self._trial = None

    def _guard(self, step: Callable[[], None]) -> None:
        try:
            step()
        except StateError as error:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        self._runtime.counters.add("models_not_kept")
        self._runtime.log.warning("a failure of the forecaster at work may not be known at the next start: %s", error)
