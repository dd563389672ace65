"""Store of models on disk, so that a previous model is available when a new one fails.

::

    <work>/models/state.json                            the record of each group
    <work>/models/<group>/<identity>/manifest.json      a copied model with its file
    <work>/models/<group>/<identity>/levels.npz         its calibration on this gateway's devices
    <work>/models/<group>/<identity>/in_flight          in-flight marker, see :mod:`in_flight_marker`

The identity is a digest of the manifest, which has the digest of the file: other bytes are another model.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_components.anomaly_detector.errors import ModelRejectedError, StateError
from edge_components.anomaly_detector.model_runtime import in_flight_marker
from edge_components.anomaly_detector.model_runtime.manifest import GroupManifest
from edge_components.common.files import replace_file

MANIFEST = "manifest.json"
MAX_REJECTED = 16
"""Maximum number of rejected models stored for each group; older ones are validated again if still available."""
MAX_FAILURES = 2
"""Processes that end in a model's first calls, or are killed in a call of it, until it is rejected. One may be due to a
power cut or to a lack of memory. A crash rejects it at once."""


def identity_of(manifest: bytes) -> str:
    """Return a model's identity: the first 16 hexadecimal digits of its manifest's SHA-256."""
    return hashlib.sha256(manifest).hexdigest()[:16]


@dataclass(slots=True)
class GroupRecord:
    """The record of a group: the live model and the previous one, rejected ones with the reason, the one in its first
    calls, and the processes that ended in its calls."""

    live: str | None = None
    previous: str | None = None
    rejected: dict[str, str] = field(default_factory=dict)
    unproven: str | None = None
    failures: int = 0


@dataclass(frozen=True, slots=True)
class CrashRejection:
    """A model that is rejected because it ended the process: ``what`` is ``hung``, ``crashed`` or
    ``suspected``."""

    group: str
    version: str
    what: str
    reason: str


class ModelStore:
    """Models and the records of groups; every method raises StateError if the disk fails."""

    def __init__(self, root: Path) -> None:
        self._root, self.groups = root, dict[str, GroupRecord]()

    def open(self, crash: str = "") -> list[CrashRejection]:
        """Read the records, and check the models whose calls, or first calls, were running when the last process ended.

        ``crash`` is the first line of the previous process' crash log. Returns the models rejected because of it.
        """
        try:
            self.groups = _parse(json.loads((self._root / "state.json").read_bytes()))
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            raise StateError(f"state of models {self._root}: {type(error).__name__}: {error}") from error
        found = [self._check_crash(group, kept, crash) for group, kept in self.groups.items()]
        self._save()
        for group, kept in self.groups.items():
            for path in (self._root / group).glob(f"*/{in_flight_marker.FILE}"):
                path.unlink(missing_ok=True)  # it has been evaluated
            self._clean(group, {kept.live, kept.previous, kept.unproven})
        return [verdict for verdict in found if verdict is not None]

    def group(self, name: str) -> GroupRecord:
        """Return the record of a group."""
        return self.groups.setdefault(name, GroupRecord())

    def folder(self, group: str, identity: str) -> Path:
        """Return the folder of a model."""
        return self._root / group / identity

    def copy(self, offered: Path) -> tuple[str, GroupManifest]:
        """Copy an available model; raises ModelRejectedError if its file does not match its manifest."""
        manifest = GroupManifest.read(offered)
        content = manifest.content()
        try:
            text = offered.read_bytes()
            folder = self.folder(manifest.group, identity_of(text))
            folder.mkdir(parents=True, exist_ok=True)
            replace_file(folder / manifest.file.name, content)
            replace_file(folder / MANIFEST, text)
        except OSError as error:
            raise StateError(f"model {manifest.name} of group {manifest.group} cannot be kept: {error}") from error
        return folder.name, manifest

    def begin(self, group: str, identity: str) -> None:
        """Record that a model is in its first calls."""
        kept = self.group(group)
        kept.failures = kept.failures if kept.unproven == identity else 0
        kept.unproven = identity
        self._save()

    def confirm(self, group: str, identity: str, validating: str | None) -> None:
        """Record a model as live; remove the others of its group, except the previous one and one in validation."""
        kept = self.group(group)
        if kept.live != identity:
            kept.live, kept.previous = identity, kept.live
        kept.unproven, kept.failures = None, 0
        self._save()
        self._clean(group, {identity, kept.previous, validating})

    def reject(self, group: str, identity: str, reason: str, validating: str | None) -> None:
        """Record that a model is rejected, and why; models are removed as in :meth:`confirm`."""
        kept = self.group(group)
        self._reject(kept, identity, reason)
        self._save()
        self._clean(group, {kept.live, kept.previous, kept.unproven, validating})

    def forget(self, group: str) -> None:
        """Forget a group and its models."""
        self.groups.pop(group, None)
        self._save()
        shutil.rmtree(self._root / group, ignore_errors=True)

    def clear_rejections(self) -> None:
        """Forget all rejections, so that the models are validated again."""
        for kept in self.groups.values():
            kept.rejected.clear()
        if self.groups:
            self._save()

    def clear_rejection(self, group: str, identity: str) -> str:
        """Forget the rejection of a model, and return its reason, "" if it was not rejected."""
        reason = self.group(group).rejected.pop(identity, "")
        if reason:
            self._save()
        return reason

    def close(self) -> None:
        """Record that the process ends normally, and not because of a model in its first calls."""
        for kept in self.groups.values():
            kept.unproven, kept.failures = None, 0
        if self.groups:
            self._save()

    def _check_crash(self, group: str, kept: GroupRecord, crash: str) -> CrashRejection | None:
        """Reject the model that ended the process, if any; one that may have ended it begins its first calls again."""
        suspect, what, reason = kept.unproven, "suspected", "the process ended in its first calls"
        for identity in (kept.unproven, kept.live):
            if identity is None:
                continue
            interrupted = in_flight_marker.read_interrupted(self.folder(group, identity) / in_flight_marker.FILE)
            if interrupted is None:
                continue
            suspect, reason = identity, "the process was killed in a call of it"
            if interrupted.hung_s:
                what, reason = "hung", f"a call hung after {interrupted.calls} calls, for {interrupted.hung_s:g} s"
            elif crash:
                what, reason = "crashed", f"the process crashed in a call of it, after {interrupted.calls}: {crash}"
            break
        if suspect is None:
            return None
        kept.failures = kept.failures + 1 if kept.unproven == suspect else 1
        kept.unproven = suspect
        if what == "suspected":
            if kept.failures < MAX_FAILURES:
                return None
            reason += f", {kept.failures} times"
        version = self._version(group, suspect)
        self._reject(kept, suspect, reason)
        return CrashRejection(group, version, what, reason)

    def _version(self, group: str, identity: str) -> str:
        try:
            return GroupManifest.read(self.folder(group, identity) / MANIFEST).version
        except ModelRejectedError:
            return identity

    @staticmethod
    def _reject(kept: GroupRecord, identity: str, reason: str) -> None:
        kept.rejected[identity] = reason
        while len(kept.rejected) > MAX_REJECTED:
            kept.rejected.pop(next(iter(kept.rejected)))
        if kept.unproven == identity:
            kept.unproven, kept.failures = None, 0
        if kept.previous == identity:
            kept.previous = None
        if kept.live == identity:
            kept.live, kept.previous = kept.previous, None

    def _clean(self, group: str, wanted: set[str | None]) -> None:
        with contextlib.suppress(OSError):
            for folder in (self._root / group).iterdir():
                if folder.name not in wanted:
                    shutil.rmtree(folder, ignore_errors=True)

    def _save(self) -> None:
        body = {
            group: {
                "live": kept.live,
                "former": kept.previous,
                "refused": kept.rejected,
                "trying": kept.unproven,
                "deaths": kept.failures,
            }
            for group, kept in self.groups.items()
        }
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            replace_file(self._root / "state.json", json.dumps(body, indent=1).encode())
        except OSError as error:
            raise StateError(f"state of models {self._root} not written: {error}") from error


def _parse(body: Mapping[str, Mapping[str, Any]]) -> dict[str, GroupRecord]:
    return {
        str(group): GroupRecord(
            None if one["live"] is None else str(one["live"]),
            None if one.get("former") is None else str(one["former"]),
            {str(identity): str(reason) for identity, reason in one["refused"].items()},
            None if one["trying"] is None else str(one["trying"]),
            int(one["deaths"]),
        )
        for group, one in body.items()
    }
