"""The models that this component keeps on disk, so that the one that works is there when another does not.

::

    <work>/models/state.json                            what counts, by group
    <work>/models/<group>/<identity>/manifest.json      a model as it was taken in, with its file
    <work>/models/<group>/<identity>/levels.npz         its calibration on this gateway's devices

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

from edge_components.anomaly_detector import state_file
from edge_components.anomaly_detector.errors import StateError
from edge_components.anomaly_detector.models.manifest import GroupManifest

MANIFEST = "manifest.json"
MOST_REFUSED = 16
"""Refusals remembered by group; the oldest are forgotten, and tried again if they are still offered."""
MOST_DEATHS = 2
"""A model in whose first calls the process ended so often is refused. Once may have been a power cut."""


def identity_of(manifest: bytes) -> str:
    """Return a model's identity: the first 16 hexadecimal digits of its manifest's SHA-256."""
    return hashlib.sha256(manifest).hexdigest()[:16]


@dataclass(slots=True)
class Kept:
    """What is remembered of a group: the model that counts, those refused and why, the one in its first calls."""

    live: str | None = None
    refused: dict[str, str] = field(default_factory=dict)
    trying: str | None = None
    deaths: int = 0


class ModelStore:
    """Models and what became of them; every method raises StateError where the disk does not do its part."""

    def __init__(self, root: Path) -> None:
        self._root, self.groups = root, dict[str, Kept]()

    def open(self) -> list[str]:
        """Read what is known, and count a death for each model in whose first calls the process ended.

        Returns a sentence for each model refused for that.
        """
        try:
            self.groups = _parse(json.loads((self._root / "state.json").read_bytes()))
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            raise StateError(f"state of models {self._root}: {type(error).__name__}: {error}") from error
        told = []
        for group, kept in self.groups.items():
            if kept.trying is None:
                continue
            kept.deaths += 1
            if kept.deaths >= MOST_DEATHS:
                reason = f"the process ended or stood still in its first calls, {kept.deaths} times"
                told.append(f"model {kept.trying} of group {group}: {reason}")
                self._refuse(kept, kept.trying, reason)
        self._save()
        return told

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
            state_file.write_whole(folder / manifest.file.name, content)
            state_file.write_whole(folder / MANIFEST, text)
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
        """Note that a model counts from now on; the others of its group are forgotten, but for one being tried."""
        kept = self.group(group)
        kept.live, kept.trying, kept.deaths = identity, None, 0
        self._save()
        self._clean(group, {identity, tried})

    def refuse(self, group: str, identity: str, reason: str, tried: str | None) -> None:
        """Note that a model is not to be tried again, and why; what is kept is as in :meth:`confirm`."""
        kept = self.group(group)
        self._refuse(kept, identity, reason)
        self._save()
        self._clean(group, {kept.live, kept.trying, tried})

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

    def pause(self) -> None:
        """Note that the process ends as it should: nobody's first calls were its end."""
        for kept in self.groups.values():
            kept.trying, kept.deaths = None, 0
        if self.groups:
            self._save()

    @staticmethod
    def _refuse(kept: Kept, identity: str, reason: str) -> None:
        kept.refused[identity] = reason
        while len(kept.refused) > MOST_REFUSED:
            kept.refused.pop(next(iter(kept.refused)))
        if kept.trying == identity:
            kept.trying, kept.deaths = None, 0
        if kept.live == identity:
            kept.live = None

    def _clean(self, group: str, wanted: set[str | None]) -> None:
        with contextlib.suppress(OSError):
            for folder in (self._root / group).iterdir():
                if folder.name not in wanted:
                    shutil.rmtree(folder, ignore_errors=True)

    def _save(self) -> None:
        body = {
            group: {"live": kept.live, "refused": kept.refused, "trying": kept.trying, "deaths": kept.deaths}
            for group, kept in self.groups.items()
        }
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            state_file.write_whole(self._root / "state.json", json.dumps(body, indent=1).encode())
        except OSError as error:
            raise StateError(f"state of models {self._root} not written: {error}") from error


def _parse(body: Mapping[str, Mapping[str, Any]]) -> dict[str, Kept]:
    return {
        str(group): Kept(
            None if one["live"] is None else str(one["live"]),
            {str(identity): str(reason) for identity, reason in one["refused"].items()},
            None if one["trying"] is None else str(one["trying"]),
            int(one["deaths"]),
        )
        for group, one in body.items()
    }
