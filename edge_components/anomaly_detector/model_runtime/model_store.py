"""The models that this component keeps on disk, so that the one that works is there when another does not.

::

    <work>/models/state.json                            what counts, by group
    <work>/models/<group>/<identity>/manifest.json      a model as it was taken in, with its file
    <work>/models/<group>/<identity>/levels.npz         its calibration on this gateway's devices
    <work>/models/<group>/<identity>/at_work            whether a call of it goes on, see :mod:`at_work`

The identity is that of the manifest's bytes, which name the file's: other bytes are another model.
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

from edge_components.anomaly_detector.errors import ModelRefusedError, StateError
from edge_components.anomaly_detector.model_runtime import in_flight_marker
from edge_components.anomaly_detector.model_runtime.manifest import GroupManifest
from edge_components.common.files import replace_file

MANIFEST = "manifest.json"
MOST_REFUSED = 16
"""Refusals remembered by group; the oldest are forgotten, and tried again if they are still offered."""
MOST_DEATHS = 2
"""A model in whose first calls the process ended so often is refused, or in a call of which it was killed. Once may
have been a power cut, or whoever kills processes when memory runs out. A crash is enough once."""


def identity_of(manifest: bytes) -> str:
    """Return a model's identity: the first 16 hexadecimal digits of its manifest's SHA-256."""
    return hashlib.sha256(manifest).hexdigest()[:16]


@dataclass(slots=True)
class Kept:
    """What is remembered of a group: the model that counts and the one before it, those refused and why, the one in its
    first calls."""

    live: str | None = None
    former: str | None = None
    refused: dict[str, str] = field(default_factory=dict)
    trying: str | None = None
    deaths: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A model that is refused for what became of the process: ``what`` is ``stood_still``, ``crashed`` or
    ``suspected``."""

    group: str
    version: str
    what: str
    reason: str


class ModelStore:
    """Models and what became of them; every method raises StateError where the disk does not do its part."""

    def __init__(self, root: Path) -> None:
        self._root, self.groups = root, dict[str, Kept]()

    def open(self, last_words: str = "") -> list[Verdict]:
        """Read what is known, and judge the models at work, or in their first calls, when the process before ended.

        ``last_words`` are what it said if it crashed. Returns those refused for that.
        """
        try:
            self.groups = _parse(json.loads((self._root / "state.json").read_bytes()))
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            raise StateError(f"state of models {self._root}: {type(error).__name__}: {error}") from error
        found = [self._judge(group, kept, last_words) for group, kept in self.groups.items()]
        self._save()
        for group, kept in self.groups.items():
            for path in (self._root / group).glob(f"*/{in_flight_marker.FILE}"):
                path.unlink(missing_ok=True)  # it has been judged
            self._clean(group, {kept.live, kept.former, kept.trying})
        return [verdict for verdict in found if verdict is not None]

    def group(self, name: str) -> Kept:
        """Return what is known of a group."""
        return self.groups.setdefault(name, Kept())

    def folder(self, group: str, identity: str) -> Path:
        """Return where a model is kept."""
        return self._root / group / identity

    def take_in(self, offered: Path) -> tuple[str, GroupManifest]:
        """Copy a model that is offered; raises ModelRefusedError where it is not what its manifest says."""
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
        """Note that a model is in its first calls."""
        kept = self.group(group)
        kept.deaths = kept.deaths if kept.trying == identity else 0
        kept.trying = identity
        self._save()

    def confirm(self, group: str, identity: str, tried: str | None) -> None:
        """Note that a model counts from now on; its group's others go, but for the one before and one being tried."""
        kept = self.group(group)
        if kept.live != identity:
            kept.live, kept.former = identity, kept.live
        kept.trying, kept.deaths = None, 0
        self._save()
        self._clean(group, {identity, kept.former, tried})

    def refuse(self, group: str, identity: str, reason: str, tried: str | None) -> None:
        """Note that a model is not to be tried again, and why; what is kept is as in :meth:`confirm`."""
        kept = self.group(group)
        self._refuse(kept, identity, reason)
        self._save()
        self._clean(group, {kept.live, kept.former, kept.trying, tried})

    def forget(self, group: str) -> None:
        """Forget a group and its models."""
        self.groups.pop(group, None)
        self._save()
        shutil.rmtree(self._root / group, ignore_errors=True)

    def forgive(self) -> None:
        """Forget what was refused: it may be tried again."""
        for kept in self.groups.values():
            kept.refused.clear()
        if self.groups:
            self._save()

    def pardon(self, group: str, identity: str) -> str:
        """Forget that a model was refused, and return why it was; "" where it was not."""
        reason = self.group(group).refused.pop(identity, "")
        if reason:
            self._save()
        return reason

    def pause(self) -> None:
        """Note that the process ends as it should: nobody's first calls were its end."""
        for kept in self.groups.values():
            kept.trying, kept.deaths = None, 0
        if self.groups:
            self._save()

    def _judge(self, group: str, kept: Kept, last_words: str) -> Verdict | None:
        """Refuse the model that ended the process, if one did; a suspect has to do its first calls again."""
        suspect, what, reason = kept.trying, "suspected", "the process ended in its first calls"
        for identity in (kept.trying, kept.live):
            left = in_flight_marker.left(self.folder(group, identity) / in_flight_marker.FILE) if identity else None
            if left is None:
                continue
            suspect, reason = identity, "the process was killed in a call of it"
            if left.still_s:
                what, reason = "stood_still", f"it stood still at work after {left.calls} calls, for {left.still_s:g} s"
            elif last_words:
                what, reason = "crashed", f"the process crashed in a call of it, after {left.calls}: {last_words}"
            break
        if suspect is None:
            return None
        kept.deaths = kept.deaths + 1 if kept.trying == suspect else 1
        kept.trying = suspect
        if what == "suspected":
            if kept.deaths < MOST_DEATHS:
                return None
            reason += f", {kept.deaths} times"
        version = self._version(group, suspect)
        self._refuse(kept, suspect, reason)
        return Verdict(group, version, what, reason)

    def _version(self, group: str, identity: str) -> str:
        try:
            return GroupManifest.read(self.folder(group, identity) / MANIFEST).version
        except ModelRefusedError:
            return identity

    @staticmethod
    def _refuse(kept: Kept, identity: str, reason: str) -> None:
        kept.refused[identity] = reason
        while len(kept.refused) > MOST_REFUSED:
            kept.refused.pop(next(iter(kept.refused)))
        if kept.trying == identity:
            kept.trying, kept.deaths = None, 0
        if kept.former == identity:
            kept.former = None
        if kept.live == identity:
            kept.live, kept.former = kept.former, None

    def _clean(self, group: str, wanted: set[str | None]) -> None:
        with contextlib.suppress(OSError):
            for folder in (self._root / group).iterdir():
                if folder.name not in wanted:
                    shutil.rmtree(folder, ignore_errors=True)

    def _save(self) -> None:
        body = {
            group: {
                "live": kept.live,
                "former": kept.former,
                "refused": kept.refused,
                "trying": kept.trying,
                "deaths": kept.deaths,
            }
            for group, kept in self.groups.items()
        }
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            replace_file(self._root / "state.json", json.dumps(body, indent=1).encode())
        except OSError as error:
            raise StateError(f"state of models {self._root} not written: {error}") from error


def _parse(body: Mapping[str, Mapping[str, Any]]) -> dict[str, Kept]:
    return {
        str(group): Kept(
            None if one["live"] is None else str(one["live"]),
            None if one.get("former") is None else str(one["former"]),
            {str(identity): str(reason) for identity, reason in one["refused"].items()},
            None if one["trying"] is None else str(one["trying"]),
            int(one["deaths"]),
        )
        for group, one in body.items()
    }
