"""Score a group of channels with a model: windows in as they arrive, model scores out.

Pure except for the model that is passed in. A device's window is complete when all its channels have arrived; a channel
that arrives in an earlier batch than the last one gets its score with its next window. Windows that never become
complete are skipped, and a model of several windows begins again after a gap.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.columns import FloatArray, IntArray
from edge_components.anomaly_detector.model_runtime.error_levels import ErrorLevels
from edge_components.anomaly_detector.model_runtime.manifest import AUTOENCODER, GroupManifest
from edge_components.anomaly_detector.univariate.model_scores import ModelScores

MAX_PENDING = 8
"""Maximum number of incomplete windows of a device."""
NEVER = np.iinfo(np.int64).min

Run = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
"""A model over standardised windows [n, window, channels]; returns [n, values]."""


_BY_DEVICE = (
    *(("_pending", np.nan), ("_pending_ms", NEVER), ("_history", 0), ("_filled", 0), ("_done_ms", NEVER)),
    *(("_score", np.nan), ("_expected", np.nan), ("_reach", np.nan), ("_fresh", False), ("_above_level", 0)),
)
"""Arrays with one row for each device, and the initial value of a row."""


class GroupScorer:
    """All devices of one model's group."""

    def __init__(
        self,
        manifest: GroupManifest,
        run: Run,
        calibration: int,
        probability: float,
        drift_windows: int,
        max_devices: int,
    ) -> None:
        """At most ``max_devices`` are scored; after ``drift_windows`` above its level a device is calibrated again."""
        self.manifest, self._run, self._max_devices = manifest, run, max_devices
        self.drift_windows = drift_windows
        channels = len(manifest.channels)
        overlap = manifest.window if manifest.kind == AUTOENCODER else 1
        self.levels = ErrorLevels(channels, calibration, probability, manifest.defaults, overlap)
        self._channel = {name: at for at, name in enumerate(manifest.channels)}
        self.devices: dict[str, int] = {}
        self._names: Sequence[str] = ()
        self._row_of, self._channel_of = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._pending = np.full((0, MAX_PENDING, channels), np.nan)
        self._pending_ms = np.full((0, MAX_PENDING), NEVER)
        self._history = np.zeros((0, manifest.window, channels), np.float32)
        self._filled, self._done_ms = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._score, self._expected, self._reach = (np.full((0, channels), np.nan) for _ in range(3))
        self._fresh, self._above_level = np.zeros((0, channels), np.bool_), np.zeros(0, np.int64)
        self.windows_scored = self.windows_broken = self.windows_of_other_width = self.drifts = 0

    def __call__(
        self, names: Sequence[str], series_ids: IntArray, start_ms: int, width_ms: int, mean: FloatArray
    ) -> ModelScores | None:
        """Return the model's scores of a window's rows; raises what the model raises."""
        self._learn(names)
        at = np.flatnonzero(self._row_of[series_ids] >= 0)
        if not len(at):
            return None
        if width_ms != self.manifest.interval_ms:
            self.windows_of_other_width += len(at)
            return None
        rows, channels = self._row_of[series_ids[at]], self._channel_of[series_ids[at]]
        complete = self._gather(rows, channels, start_ms, width_ms, mean[at])
        if len(complete):
            self._process(complete, start_ms, width_ms)
        scores = ModelScores.unscored(len(series_ids))
        fresh = self._fresh[rows, channels]
        scores.score[at] = np.where(fresh, self._score[rows, channels], np.nan)
        now = fresh & (self._done_ms[rows] == start_ms)
        scores.expected[at] = np.where(now, self._expected[rows, channels], np.nan)
        scores.reach[at] = np.where(now, self._reach[rows, channels], np.nan)
        self._fresh[rows, channels] = False
        return scores

    def restore(self, devices: Sequence[str], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restore the saved levels of devices; raises ValueError if they do not fit."""
        if len(set(devices)) != len(devices) or len(arrays.get("seen", ())) != len(devices):
            raise ValueError(f"{len(devices)} devices for levels of {len(arrays.get('seen', ()))}")
        self.levels.restore(arrays)
        self.devices = {device: row for row, device in enumerate(devices)}
        self._grow(len(devices))

    def _gather(self, rows: IntArray, channels: IntArray, start_ms: int, width_ms: int, mean: FloatArray) -> IntArray:
        """Add values to their pending windows, and return the devices whose window is complete now."""
        slot = (start_ms // width_ms) % MAX_PENDING
        devices = np.unique(rows)
        older = devices[(self._pending_ms[devices, slot] < start_ms) & (self._done_ms[devices] < start_ms)]
        self.windows_broken += int((self._pending_ms[older, slot] > self._done_ms[older]).sum())
        self._pending_ms[older, slot] = start_ms
        self._pending[older, slot] = np.nan
        same = self._pending_ms[rows, slot] == start_ms
        self._pending[rows[same], slot, channels[same]] = mean[same]
        complete = np.isfinite(self._pending[devices, slot]).all(axis=1)
        due = (self._pending_ms[devices, slot] == start_ms) & (self._done_ms[devices] < start_ms)
        return np.asarray(devices[complete & due])

    def _process(self, rows: IntArray, start_ms: int, width_ms: int) -> None:
        manifest, slot = self.manifest, (start_ms // width_ms) % MAX_PENDING
        latest = (self._pending[rows, slot] - manifest.centre) / manifest.scale
        latest = np.clip(latest, -manifest.clip, manifest.clip)
        follows = self._done_ms[rows] == start_ms - width_ms
        self._done_ms[rows] = start_ms
        self._filled[rows] = np.where(follows, self._filled[rows], 0)
        if manifest.kind == AUTOENCODER:
            self._push(rows, latest)
            self._reconstruct(rows[self._filled[rows] >= manifest.window])
        else:
            ready = self._filled[rows] >= manifest.window
            self._forecast(rows[ready], latest[ready])
            self._push(rows, latest)

    def _push(self, rows: IntArray, latest: FloatArray) -> None:
        history = self._history[rows]
        history[:, :-1] = history[:, 1:].copy()
        history[:, -1] = latest
        self._history[rows] = history
        self._filled[rows] += 1

    def _reconstruct(self, rows: IntArray) -> None:
        """Score the reconstruction error of an auto-encoder, root mean square over its windows."""
        if len(rows):
            seen = self._history[rows]
            given = self._run(seen).reshape(seen.shape).astype(np.float64)
            errors = np.sqrt(np.square(given - seen).mean(axis=1))
            self._score_errors(rows, errors, given[:, -1])

    def _forecast(self, rows: IntArray, latest: FloatArray) -> None:
        """Score the error of the forecast of the window."""
        if len(rows):
            predicted = self._run(self._history[rows]).astype(np.float64)
            self._score_errors(rows, np.abs(latest - predicted), predicted)

    def _score_errors(self, rows: IntArray, errors: FloatArray, expected: FloatArray) -> None:
        scores, levels = self.levels.score(rows, errors)
        self._score[rows], self._fresh[rows] = scores, np.isfinite(scores)
        self._expected[rows] = expected * self.manifest.scale + self.manifest.centre
        self._reach[rows] = levels * self.manifest.scale
        self.windows_scored += len(rows)
        above = np.where(np.isfinite(scores), scores, 0.0).max(axis=1) >= 1.0
        self._above_level[rows] = np.where(
            above, self._above_level[rows] + 1, np.maximum(self._above_level[rows] - 1, 0)
        )
        drifted = rows[self._above_level[rows] >= self.drift_windows]
        if len(drifted):
            self.levels.calibrate_again(drifted)
            self._above_level[drifted] = 0
            self.drifts += len(drifted)

    def _learn(self, names: Sequence[str]) -> None:
        """Assign new names to a device of the group and a channel."""
        if names is not self._names:  # another list: its ids are those of other series
            if len(self._names):
                self._forget_devices(names)
            self._names = names
            self._row_of, self._channel_of = np.zeros(0, np.int64), np.zeros(0, np.int64)
        fresh = names[len(self._row_of) :]
        if not fresh:
            return
        found = [self._find(name) for name in fresh]
        self._row_of = np.append(self._row_of, [row for row, _ in found])
        self._channel_of = np.append(self._channel_of, [channel for _, channel in found])
        more = len(self.devices) - len(self._filled)
        if more:
            self._grow(more)

    def _forget_devices(self, names: Sequence[str]) -> None:
        """Free the rows of devices whose series have all been removed from the list."""
        present = {device for name in names for device, channel in self._candidates(name) if channel in self._channel}
        kept = [row for device, row in self.devices.items() if device in present]
        if len(kept) < len(self.devices):
            self.devices = {device: row for row, device in enumerate(d for d in self.devices if d in present)}
            for name, _ in _BY_DEVICE:
                setattr(self, name, getattr(self, name)[kept])
            self.levels.keep(kept)

    def _find(self, name: str) -> tuple[int, int]:
        for device, channel in self._candidates(name):
            if channel in self._channel and (device in self.devices or len(self.devices) < self._max_devices):
                return self.devices.setdefault(device, len(self.devices)), self._channel[channel]
        return -1, -1

    def _candidates(self, name: str) -> list[tuple[str, str]]:
        """Return every pair of device and channel that the manifest allows for a name."""
        glob = self.manifest.devices
        if glob is None:
            return [("", name)]
        parts = [(name[:at], name[at + 1 :]) for at, letter in enumerate(name) if letter == "."]
        return [(device, channel) for device, channel in parts if fnmatch.fnmatchcase(device, glob)]

    def _grow(self, more: int) -> None:
        def longer(array: npt.NDArray[np.generic], fill: float) -> npt.NDArray[np.generic]:
            return np.concatenate((array, np.full((more, *array.shape[1:]), fill, array.dtype)))

        for name, fill in _BY_DEVICE:
            setattr(self, name, longer(getattr(self, name), fill))
        if len(self.levels.seen) < len(self.devices):
            self.levels.grow(len(self.devices))
