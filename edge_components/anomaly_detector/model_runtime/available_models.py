"""Find the models that are available: folders with a manifest that match the configured patterns.

In Greengrass a component can locate the artifacts of another only by depending on it, and is then restarted with it. So
a model component puts a link to its unpacked artifact into its own work folder, which is beside this component's, and
this component scans there.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_components.anomaly_detector.errors import ModelRejectedError
from edge_components.anomaly_detector.model_runtime.manifest import GroupManifest
from edge_components.anomaly_detector.model_runtime.model_store import MANIFEST, identity_of

Signature = tuple[str, int, int, int]


@dataclass(frozen=True, slots=True)
class AvailableModel:
    """A model in a folder."""

    path: Path
    group: str
    version: str
    identity: str


class AvailableModels:
    """Scans the folders, and reads a manifest again only if the file has changed."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._known: dict[Path, tuple[Signature, AvailableModel | None]] = {}
        self.invalid: dict[Path, str] = {}
        """Errors by manifest: it cannot be read, or its group already has another model."""

    def scan(self, patterns: Sequence[str]) -> dict[str, AvailableModel]:
        """Return the available models, by group."""
        found: dict[str, AvailableModel] = {}
        paths = list(dict.fromkeys(path for pattern in patterns for path in self._folders(pattern)))
        for path in paths:
            model = self._read(path)
            if model is None:
                continue
            first = found.setdefault(model.group, model)
            if first is not model:
                self.invalid[path] = f"group {model.group} has a model in {first.path.parent} already"
            elif self.invalid.get(path, "").startswith("group "):
                del self.invalid[path]
        for removed in set(self._known) - set(paths):
            del self._known[removed]
            self.invalid.pop(removed, None)
        return found

    def _folders(self, pattern: str) -> list[Path]:
        matches = glob.glob(os.path.join(self._work, pattern, MANIFEST))  # noqa: PTH118, PTH207 # an absolute one wins
        return [Path(match) for match in sorted(matches)]

    def _read(self, path: Path) -> AvailableModel | None:
        try:
            state = path.stat()
            signature = (os.path.realpath(path), state.st_mtime_ns, state.st_ino, state.st_size)
            known = self._known.get(path)
            if known is not None and known[0] == signature:
                return known[1]
            self.invalid.pop(path, None)
            manifest = GroupManifest.read(path)
            model = AvailableModel(path, manifest.group, manifest.version, identity_of(path.read_bytes()))
        except OSError:
            return None  # removed during the scan
        except ModelRejectedError as error:
            self.invalid[path] = str(error)
            model = None
        self._known[path] = (signature, model)
        return model
