"""Manage one model for each group: find available models, validate them in a child process, swap them in, roll back.

Nothing here waits: scoring continues with the current model during a validation. A new model is confirmed after its
first calls; until then the previous one stays loaded and takes over if it fails. Later the previous one is still on
disk, and is validated and swapped in again if the confirmed one fails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_components.anomaly_detector import state_file
from edge_components.anomaly_detector.columns import FloatArray, IntArray
from edge_components.anomaly_detector.config import Config
from edge_components.anomaly_detector.errors import ModelRejectedError, StateError, ValidationInterruptedError
from edge_components.anomaly_detector.model_runtime import in_flight_marker
from edge_components.anomaly_detector.model_runtime.available_models import AvailableModel, AvailableModels
from edge_components.anomaly_detector.model_runtime.calls import Calls, Watchdog
from edge_components.anomaly_detector.model_runtime.group_scorer import GroupScorer, Run
from edge_components.anomaly_detector.model_runtime.in_flight_marker import InFlightMarker
from edge_components.anomaly_detector.model_runtime.live_model import (
    FIRST_CALLS,
    LiveModel,
    alarm_probability,
    scorer_for,
)
from edge_components.anomaly_detector.model_runtime.manifest import GroupManifest
from edge_components.anomaly_detector.model_runtime.model_store import MANIFEST, ModelStore
from edge_components.anomaly_detector.model_runtime.rejected_models import MAX_REPORTED, RejectedModels
from edge_components.anomaly_detector.model_runtime.tflite_model import NO_RUNTIME, GroupModel, runtime_is_installed
from edge_components.anomaly_detector.model_runtime.validation_process import Validation, ValidationProcess
from edge_components.anomaly_detector.univariate.model_scores import ModelScores
from edge_components.common.lifecycle import Runtime

SCAN_SECONDS = 2.0
MAX_INTERRUPTIONS = 3
"""Number of validations ended from outside, for example for lack of memory, after which a model is rejected."""
MISSED_SCANS = 3
"""Number of consecutive scans without a model after which it is withdrawn; longer than a version change takes."""

Load = Callable[[GroupManifest, bytes], Run]


class ModelManager:
    """See :class:`edge_components.anomaly_detector.univariate.model_scores.ModelScorer`."""

    def __init__(
        self,
        config: Config,
        runtime: Runtime,
        load: Load = GroupModel,
        validate: Callable[[Path], Validation] = ValidationProcess,
        watchdog: Watchdog | None = None,
        crash: str = "",
    ) -> None:
        """``crash`` is the first line of the crash log of the process before this one."""
        self._config, self._runtime, self._load, self._validate = config, runtime, load, validate
        self._watchdog, self._crash = watchdog or Watchdog(), crash
        self._store, self._available = ModelStore(runtime.work / "models"), AvailableModels(runtime.work)
        self._live: dict[str, LiveModel] = {}
        self._requested: dict[str, AvailableModel] = {}
        self._missed: dict[str, int] = {}
        self._validation: tuple[Validation, str, str] | None = None
        self._scanned = -np.inf
        self._interruptions: Counter[str] = Counter()
        self._rejected_models = RejectedModels(runtime)

    def start(self) -> None:
        """Read the stored models; they are validated again, since the runtime may be another."""
        try:
            for verdict in self._store.open(self._crash):
                self._runtime.counters.add(f"models_{verdict.what}")
                self._rejected_models.add(verdict.group, verdict.version, verdict.reason)
        except StateError as error:
            self._runtime.counters.add("models_state_rejected")
            self._runtime.log.warning("saved models are ignored: %s", error)

    def tick(self) -> None:
        """Scan for models periodically, and poll the current validation."""
        now = self._runtime.clock.monotonic()
        if self._validation is not None:
            self._poll_validation()
        if self._validation is None and now - self._scanned >= SCAN_SECONDS:
            self._scanned = now
            self._scan()

    def reconfigure(self, config: Config) -> None:
        """Use other settings."""
        before, self._config = self._config, config
        if config.models != before.models:
            self._scanned = -np.inf
            self._missed = dict.fromkeys(self._missed, MISSED_SCANS)
        if config.model_milliseconds != before.model_milliseconds:
            self._clear_rejections()  # some may have been rejected as too slow
        if config.calibration_windows != before.calibration_windows:
            for live in self._live.values():
                live.scorer = scorer_for(live, self._config)
        for live in self._live.values():
            live.calls.allowed_s = config.model_milliseconds / 1000.0
            if live.scorer is not None:
                live.scorer.levels.probability = alarm_probability(live.manifest, config)
                live.scorer.drift_windows = config.drift_windows

    def close(self) -> None:
        """Cancel the current validation."""
        if self._validation is not None:
            self._validation[0].cancel()
            self._validation = None
        try:
            self._store.close()
        except StateError as error:
            self._warn(error)

    def __call__(
        self, names: Sequence[str], series_ids: IntArray, start_ms: int, width_ms: int, mean: FloatArray
    ) -> ModelScores | None:
        """Return the models' scores of a window's rows; a model that fails is rolled back and scores nothing."""
        scores: ModelScores | None = None
        for group, live in list(self._live.items()):
            if live.scorer is None:
                continue
            try:
                group_scores = live.scorer(names, series_ids, start_ms, width_ms, mean)
            except ModelRejectedError as error:
                self._roll_back(group, live, str(error))
                continue
            except Exception as error:  # scoring continues without the model
                self._runtime.log.exception("group %s: its model's scoring failed", group)
                self._roll_back(group, live, f"{type(error).__name__}: {error}")
                continue
            if not live.proven and live.calls.made >= FIRST_CALLS:
                self._confirm(group, live)
            if group_scores is not None:
                scores = group_scores if scores is None else scores.maximum(group_scores)
        return scores

    def save(self) -> None:
        """Save the calibrations that have changed beside their models."""
        for group, live in self._live.items():
            if live.proven and live.scorer is not None and live.scorer.levels.version != live.saved:
                live.saved = live.scorer.levels.version
                path = self._store.folder(group, live.identity) / "levels.npz"
                try:
                    state_file.save(path, list(live.scorer.devices), live.scorer.levels.state())
                except StateError as error:
                    self._warn(error)

    def health(self) -> dict[str, Any]:
        """Return the live models, and the reasons of rejections."""
        live = {
            group: {
                "version": one.manifest.version,
                "kind": one.manifest.kind,
                "state": "live" if one.proven else "in its first calls",
                **one.figures(),
            }
            for group, one in list(self._live.items())[:MAX_REPORTED]
        }
        rejected = self._rejected_models.report(
            {path.parent.parent.name: why for path, why in self._available.invalid.items()}
        )
        validating = (
            {}
            if self._validation is None
            else {"validating": f"{self._validation[1]} {self._version(self._validation[1])}"}
        )
        return {"live": live, "rejected": rejected, **validating}

    def _clear_rejections(self) -> None:
        for group in self._store.groups:
            self._rejected_models.forget(group)
        try:
            self._store.clear_rejections()
        except StateError as error:
            self._warn(error)

    def _scan(self) -> None:
        models = self._available.scan(self._config.models)
        for path, why in self._available.invalid.items():
            self._rejected_models.log(why if str(path) in why else f"{path}: {why}")
        for group in set(self._live) | set(self._store.groups):
            # A manifest that cannot be read may be the next version of any group, so no model is withdrawn meanwhile.
            found = group in models or bool(self._available.invalid)
            self._missed[group] = 0 if found else self._missed.get(group, 0) + 1
            if self._missed[group] >= MISSED_SCANS:
                self._withdraw(group)
        for group, live in self._live.items():
            if live.scorer is not None and live.scorer.windows_of_other_width and not live.scorer.windows_scored:
                width = live.manifest.interval_ms
                self._rejected_models.warn(
                    f"group {group}: its model scores windows of {width} ms, not the received ones"
                )
        for group, available in models.items():
            self._requested[group] = available
            if self._begin(group, available):
                return

    def _begin(self, group: str, available: AvailableModel) -> bool:
        """Begin the validation of the group's intended model unless it is live; return whether one began."""
        kept, live = self._store.group(group), self._live.get(group)
        rejected = available.identity in kept.rejected
        if rejected:
            self._rejected_models.remember(group, available.version, kept.rejected[available.identity])
        wanted = kept.live if rejected or live is None else available.identity
        if live is None and kept.live is None:
            wanted = None if rejected else available.identity
        if wanted is None or (live is not None and live.identity == wanted):
            return False
        if not runtime_is_installed():
            # Not the model's failure, so nothing is stored: it is validated when there is a runtime.
            self._rejected_models.add(group, available.version, NO_RUNTIME)
            return False
        try:
            path = self._store.folder(group, wanted) / MANIFEST
            if wanted == available.identity and not path.exists():
                self._store.copy(available.path)
            self._validation = self._validate(path), group, wanted
        except ModelRejectedError as error:
            self._reject(group, wanted, str(error))
        except StateError as error:
            self._warn(error)
        return self._validation is not None

    def _poll_validation(self) -> None:
        assert self._validation is not None  # noqa: S101 # for the type checker: checked by tick
        validation, group, identity = self._validation
        if not validation.is_finished():
            return
        self._validation, self._scanned = None, -np.inf  # another one may be waiting
        try:
            call_s = validation.outcome()
            allowed_s = self._config.model_milliseconds / 1000.0
            if call_s > allowed_s:
                raise ModelRejectedError(
                    f"a call takes {call_s * 1000:.1f} ms in its validation, allowed are {allowed_s * 1000:g} ms"
                )
            self._swap(group, identity, allowed_s)
        except ValidationInterruptedError as error:
            self._interrupted(group, identity, error)
        except ModelRejectedError as error:
            self._reject(group, identity, str(error))
        except StateError as error:
            self._warn(error)

    def _interrupted(self, group: str, identity: str, error: ValidationInterruptedError) -> None:
        """Validate the model again at the next scan; one whose validation is always interrupted is rejected."""
        self._scanned = self._runtime.clock.monotonic()
        self._interruptions[identity] += 1
        self._runtime.limited_log.warning("validations_interrupted", str(error), key=group)
        if self._interruptions[identity] >= MAX_INTERRUPTIONS:
            del self._interruptions[identity]
            self._reject(group, identity, f"{error}, {MAX_INTERRUPTIONS} times")

    def _swap(self, group: str, identity: str, allowed_s: float) -> None:
        folder = self._store.folder(group, identity)
        manifest = GroupManifest.read(folder / MANIFEST)
        run = self._load(manifest, manifest.content())
        before = self._live.get(group)
        # The previous one is the last that was confirmed, not one in its first calls.
        previous = before.previous if before is not None and not before.proven else before
        name = f"model {manifest.name} {manifest.version} of group {group}"
        calls = Calls(name, allowed_s, self._marker(folder), self._watchdog)
        live = LiveModel(identity, manifest, run, calls, previous)
        kept = self._store.group(group)
        live.proven = kept.live == identity and kept.unproven != identity
        live.scorer = scorer_for(live, self._config)
        self._restore(folder, live.scorer)
        if not live.proven:
            try:
                self._store.begin(group, identity)
            except StateError as error:
                self._warn(error)
        self._live[group] = live
        self._runtime.counters.add("models_swapped_in")
        self._runtime.log.info("model %s %s scores group %s", manifest.name, manifest.version, group)

    def _confirm(self, group: str, live: LiveModel) -> None:
        live.proven, live.previous = True, None
        self._runtime.counters.add("models_confirmed")
        try:
            self._store.confirm(group, live.identity, self._validating(group))
        except StateError as error:
            self._warn(error)

    def _roll_back(self, group: str, live: LiveModel, reason: str) -> None:
        """Replace a model that fails by the previous one, if any."""
        self._runtime.counters.add("models_rolled_back")
        if live.previous is not None:
            self._live[group] = live.previous
        else:
            del self._live[group]
        self._reject(group, live.identity, f"{reason} (call {live.calls.made})", live.manifest.version)

    def _reject(self, group: str, identity: str, reason: str, version: str = "") -> None:
        self._rejected_models.add(group, version or self._version(group), reason)
        try:
            self._store.reject(group, identity, reason, self._validating(group))
        except StateError as error:
            self._warn(error)

    def _withdraw(self, group: str) -> None:
        """Withdraw a model that is not available any more."""
        if self._live.pop(group, None) is not None:
            self._runtime.counters.add("models_withdrawn")
            self._runtime.log.info("group %s has no model any more: it is not models", group)
        self._missed.pop(group, None)
        self._requested.pop(group, None)
        self._rejected_models.forget(group)
        try:
            self._store.forget(group)
        except StateError as error:
            self._warn(error)

    def _marker(self, folder: Path) -> InFlightMarker:
        try:
            return InFlightMarker(folder / in_flight_marker.FILE)
        except OSError as error:
            self._warn(StateError(f"a crash in a call could not be attributed: {error}"))
            return InFlightMarker()

    def _restore(self, folder: Path, scorer: GroupScorer) -> None:
        try:
            kept = state_file.read(folder / "levels.npz")
            if kept is not None:
                scorer.restore(*kept)
        except (StateError, ValueError) as error:
            self._runtime.counters.add("state_rejected")
            self._runtime.log.warning("calibration of group %s begins again: %s", scorer.manifest.group, error)

    def _validating(self, group: str) -> str | None:
        """Return the identity of the group's model that is being validated."""
        return self._validation[2] if self._validation is not None and self._validation[1] == group else None

    def _version(self, group: str) -> str:
        return self._requested[group].version if group in self._requested else "?"

    def _warn(self, error: StateError) -> None:
        self._runtime.counters.add("models_not_saved")
        self._rejected_models.warn(str(error))
