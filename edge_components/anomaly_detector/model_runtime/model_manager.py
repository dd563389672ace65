"""Keeps one working model for each group: finds what is offered, tries it in a child, swaps it in, takes it back.

Nothing here waits: a trial goes on while windows are scored, with the model that there was. A new model has to do its
first calls well before it counts; until then the one before it stands by, and takes over where it fails. Later the one
before it is still on disk, and is tried and swapped in again where the one that counts fails.
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
from edge_components.anomaly_detector.errors import ModelRefusedError, StateError, TrialInterruptedError
from edge_components.anomaly_detector.model_runtime import in_flight_marker
from edge_components.anomaly_detector.model_runtime.available_models import Offer, Offers
from edge_components.anomaly_detector.model_runtime.calls import Calls, Watchdog
from edge_components.anomaly_detector.model_runtime.group_scorer import GroupScorer, Run
from edge_components.anomaly_detector.model_runtime.live_model import (
    FIRST_CALLS,
    LiveModel,
    alarm_probability,
    scorer_for,
)
from edge_components.anomaly_detector.model_runtime.manifest import GroupManifest
from edge_components.anomaly_detector.model_runtime.model_store import MANIFEST, ModelStore
from edge_components.anomaly_detector.model_runtime.rejected_models import TOLD, Refusals
from edge_components.anomaly_detector.model_runtime.tflite_model import NO_RUNTIME, GroupModel, runtime_is_installed
from edge_components.anomaly_detector.model_runtime.validation_process import Trial, Trying
from edge_components.anomaly_detector.univariate.model_scores import ModelScores
from edge_components.common.lifecycle import Runtime

LOOK_SECONDS = 2.0
MAX_INTERRUPTIONS = 3
"""Validations of a model that are ended from outside before it is refused: by a guard of the machine's memory, say."""
MISSED_LOOKS = 3
"""A model is withdrawn when so many looks do not find it: a version that reseries_ids another leaves no gap so long."""

Load = Callable[[GroupManifest, bytes], Run]


class ModelKeeper:
    """See :class:`edge_components.anomaly_detector.univariate.model_scores.Opinions` for what it is asked."""

    def __init__(
        self,
        config: Config,
        runtime: Runtime,
        load: Load = GroupModel,
        try_model: Callable[[Path], Trying] = Trial,
        dog: Watchdog | None = None,
        last_words: str = "",
    ) -> None:
        """``last_words`` are what the process before this one said if it crashed."""
        self._config, self._runtime, self._load, self._try = config, runtime, load, try_model
        self._dog, self._last_words = dog or Watchdog(), last_words
        self._store, self._offers = ModelStore(runtime.work / "models"), Offers(runtime.work)
        self._live: dict[str, LiveModel] = {}
        self._wanted: dict[str, Offer] = {}
        self._missed: dict[str, int] = {}
        self._trial: tuple[Trying, str, str] | None = None
        self._looked = -np.inf
        self._interruptions: Counter[str] = Counter()
        self._refusals = Refusals(runtime)

    def start(self) -> None:
        """Take up what was kept: it is tried again, for the runtime may be another."""
        try:
            for verdict in self._store.open(self._last_words):
                self._runtime.counters.add(f"models_{verdict.what}")
                self._refusals.add(verdict.group, verdict.version, verdict.reason)
        except StateError as error:
            self._runtime.counters.add("models_state_refused")
            self._runtime.log.warning("models begin anew: %s", error)

    def tick(self) -> None:
        """Look for models now and then, and see to the trial that goes on."""
        now = self._runtime.clock.monotonic()
        if self._trial is not None:
            self._see_to_trial()
        if self._trial is None and now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._look()

    def reconfigure(self, config: Config) -> None:
        """Go on with other settings."""
        before, self._config = self._config, config
        if config.models != before.models:
            self._looked = -np.inf
            self._missed = dict.fromkeys(self._missed, MISSED_LOOKS)
        if config.model_milliseconds != before.model_milliseconds:
            self._forgive()  # some may have been refused for being too slow
        if config.calibration_windows != before.calibration_windows:
            for live in self._live.values():
                live.scorer = scorer_for(live, self._config)
        for live in self._live.values():
            live.calls.allowed_s = config.model_milliseconds / 1000.0
            if live.scorer is not None:
                live.scorer.levels.probability = alarm_probability(live.manifest, config)
                live.scorer.drift_windows = config.drift_windows

    def close(self) -> None:
        """End a trial that goes on."""
        if self._trial is not None:
            self._trial[0].abandon()
            self._trial = None
        try:
            self._store.pause()
        except StateError as error:
            self._complain(error)

    def __call__(
        self, names: Sequence[str], series_ids: IntArray, start_ms: int, width_ms: int, mean: FloatArray
    ) -> ModelScores | None:
        """Return what the models say of a window's rows; one that fails is taken back and says nothing."""
        opinion: ModelScores | None = None
        for group, live in list(self._live.items()):
            if live.scorer is None:
                continue
            try:
                said = live.scorer(names, series_ids, start_ms, width_ms, mean)
            except ModelRefusedError as error:
                self._take_back(group, live, str(error))
                continue
            except Exception as error:  # a model's outermost edge: scoring goes on without it
                self._runtime.log.exception("group %s: its model's scoring failed", group)
                self._take_back(group, live, f"{type(error).__name__}: {error}")
                continue
            if not live.proven and live.calls.made >= FIRST_CALLS:
                self._confirm(group, live)
            if said is not None:
                opinion = said if opinion is None else opinion.maximum(said)
        return opinion

    def save(self) -> None:
        """Save the calibrations beside the models, where there is something new in them."""
        for group, live in self._live.items():
            if live.proven and live.scorer is not None and live.scorer.levels.version != live.saved:
                live.saved = live.scorer.levels.version
                path = self._store.folder(group, live.identity) / "levels.npz"
                try:
                    state_file.save(path, list(live.scorer.devices), live.scorer.levels.state())
                except StateError as error:
                    self._complain(error)

    def health(self) -> dict[str, Any]:
        """Return which models are live, and why others are not."""
        live = {
            group: {
                "version": one.manifest.version,
                "kind": one.manifest.kind,
                "state": "live" if one.proven else "in its first calls",
                **one.figures(),
            }
            for group, one in list(self._live.items())[:TOLD]
        }
        refused = self._refusals.report({path.parent.parent.name: why for path, why in self._offers.wrong.items()})
        trying = {} if self._trial is None else {"trying": f"{self._trial[1]} {self._version(self._trial[1])}"}
        return {"live": live, "refused": refused, **trying}

    def _forgive(self) -> None:
        for group in self._store.groups:
            self._refusals.forget(group)
        try:
            self._store.forgive()
        except StateError as error:
            self._complain(error)

    def _look(self) -> None:
        offered = self._offers.look(self._config.models)
        for path, why in self._offers.wrong.items():
            self._refusals.tell(why if str(path) in why else f"{path}: {why}")
        for group in set(self._live) | set(self._store.groups):
            # A manifest that cannot be read may be the next version of any group: nobody goes for its sake.
            found = group in offered or bool(self._offers.wrong)
            self._missed[group] = 0 if found else self._missed.get(group, 0) + 1
            if self._missed[group] >= MISSED_LOOKS:
                self._withdraw(group)
        for group, live in self._live.items():
            if live.scorer is not None and live.scorer.windows_of_other_width and not live.scorer.windows_scored:
                width = live.manifest.interval_ms
                self._refusals.complain(f"group {group}: its model scores windows of {width} ms, and others come")
        for group, offer in offered.items():
            self._wanted[group] = offer
            if self._begin(group, offer):
                return

    def _begin(self, group: str, offer: Offer) -> bool:
        """Begin the trial of what a group should have, if it has not; return whether one began."""
        kept, live = self._store.group(group), self._live.get(group)
        refused = offer.identity in kept.refused
        if refused:
            self._refusals.remember(group, offer.version, kept.refused[offer.identity])
        wanted = kept.live if refused or live is None else offer.identity
        if live is None and kept.live is None:
            wanted = None if refused else offer.identity
        if wanted is None or (live is not None and live.identity == wanted):
            return False
        if not runtime_is_installed():
            # Not the model's failure, so nothing is stored: it is validated when there is a runtime.
            self._refusals.add(group, offer.version, NO_RUNTIME)
            return False
        try:
            path = self._store.folder(group, wanted) / MANIFEST
            if wanted == offer.identity and not path.exists():
                self._store.take_in(offer.path)
            self._trial = self._try(path), group, wanted
        except ModelRefusedError as error:
            self._refuse(group, wanted, str(error))
        except StateError as error:
            self._complain(error)
        return self._trial is not None

    def _see_to_trial(self) -> None:
        assert self._trial is not None  # noqa: S101 # for the type checker: tick has looked
        trial, group, identity = self._trial
        if not trial.over():
            return
        self._trial, self._looked = None, -np.inf  # there may be another that waits
        try:
            call_s = trial.outcome()
            allowed_s = self._config.model_milliseconds / 1000.0
            if call_s > allowed_s:
                raise ModelRefusedError(
                    f"a call of it takes {call_s * 1000:.1f} ms in its trial, allowed are {allowed_s * 1000:g} ms"
                )
            self._swap(group, identity, allowed_s)
        except TrialInterruptedError as error:
            self._interrupted(group, identity, error)
        except ModelRefusedError as error:
            self._refuse(group, identity, str(error))
        except StateError as error:
            self._complain(error)

    def _interrupted(self, group: str, identity: str, error: TrialInterruptedError) -> None:
        """Validate the model again at the next look; one whose validation never ends by itself is refused."""
        self._looked = self._runtime.clock.monotonic()
        self._interruptions[identity] += 1
        self._runtime.limited_log.warning("validations_interrupted", str(error), key=group)
        if self._interruptions[identity] >= MAX_INTERRUPTIONS:
            del self._interruptions[identity]
            self._refuse(group, identity, f"{error}, {MAX_INTERRUPTIONS} times")

    def _swap(self, group: str, identity: str, allowed_s: float) -> None:
        folder = self._store.folder(group, identity)
        manifest = GroupManifest.read(folder / MANIFEST)
        run = self._load(manifest, manifest.content())
        before = self._live.get(group)
        # The one that stands by is the last that counted, not one that is in its own first calls.
        previous = before.previous if before is not None and not before.proven else before
        name = f"model {manifest.name} {manifest.version} of group {group}"
        calls = Calls(name, allowed_s, self._mark(folder), self._dog)
        live = LiveModel(identity, manifest, run, calls, previous)
        kept = self._store.group(group)
        live.proven = kept.live == identity and kept.trying != identity
        live.scorer = scorer_for(live, self._config)
        self._restore(folder, live.scorer)
        if not live.proven:
            try:
                self._store.begin(group, identity)
            except StateError as error:
                self._complain(error)
        self._live[group] = live
        self._runtime.counters.add("models_swapped_in")
        self._runtime.log.info("model %s %s scores group %s", manifest.name, manifest.version, group)

    def _confirm(self, group: str, live: LiveModel) -> None:
        live.proven, live.previous = True, None
        self._runtime.counters.add("models_confirmed")
        try:
            self._store.confirm(group, live.identity, self._tried(group))
        except StateError as error:
            self._complain(error)

    def _take_back(self, group: str, live: LiveModel, reason: str) -> None:
        """Put the model that was before in the place of one that fails, or none where there is none."""
        self._runtime.counters.add("models_taken_back")
        if live.previous is not None:
            self._live[group] = live.previous
        else:
            del self._live[group]
        self._refuse(group, live.identity, f"{reason} (call {live.calls.made})", live.manifest.version)

    def _refuse(self, group: str, identity: str, reason: str, version: str = "") -> None:
        self._refusals.add(group, version or self._version(group), reason)
        try:
            self._store.refuse(group, identity, reason, self._tried(group))
        except StateError as error:
            self._complain(error)

    def _withdraw(self, group: str) -> None:
        """End what nobody offers any more."""
        if self._live.pop(group, None) is not None:
            self._runtime.counters.add("models_withdrawn")
            self._runtime.log.info("group %s has no model any more: it is not offered", group)
        self._missed.pop(group, None)
        self._wanted.pop(group, None)
        self._refusals.forget(group)
        try:
            self._store.forget(group)
        except StateError as error:
            self._complain(error)

    def _mark(self, folder: Path) -> in_flight_marker.Mark:
        try:
            return in_flight_marker.Mark(folder / in_flight_marker.FILE)
        except OSError as error:
            self._complain(StateError(f"a crash at work would not be known: {error}"))
            return in_flight_marker.Mark()

    def _restore(self, folder: Path, scorer: GroupScorer) -> None:
        try:
            kept = state_file.read(folder / "levels.npz")
            if kept is not None:
                scorer.restore(*kept)
        except (StateError, ValueError) as error:
            self._runtime.counters.add("state_refused")
            self._runtime.log.warning("calibration of group %s begins anew: %s", scorer.manifest.group, error)

    def _tried(self, group: str) -> str | None:
        """Return the identity of the group's model that is being tried."""
        return self._trial[2] if self._trial is not None and self._trial[1] == group else None

    def _version(self, group: str) -> str:
        return self._wanted[group].version if group in self._wanted else "?"

    def _complain(self, error: StateError) -> None:
        self._runtime.counters.add("models_not_kept")
        self._refusals.complain(str(error))
