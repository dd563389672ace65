"""Which models are offered now: folders with a manifest, found by the patterns that the configuration names.

Greengrass gives one component no way to ask for another's artifacts without depending on it, and a component that
depends on another is restarted with it. So a model component only puts a link to its unpacked artifact into its own
work folder, which lies beside this component's, and this component looks there.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_components.anomaly_detector.errors import ModelRefusedError
from edge_components.anomaly_detector.model_runtime.manifest import GroupManifest
from edge_components.anomaly_detector.model_runtime.model_store import MANIFEST, identity_of

Signature = tuple[str, int, int, int]


@dataclass(frozen=True, slots=True)
class Offer:
    """A model in a folder."""

    path: Path
    group: str
    version: str
    identity: str


class Offers:
    """Looks through the folders, and reads a manifest again only when the file is another."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._known: dict[Path, tuple[Signature, Offer | None]] = {}
        self.wrong: dict[Path, str] = {}
        """What is wrong with manifests that cannot be read, and with second offers for a group."""

    def look(self, patterns: Sequence[str]) -> dict[str, Offer]:
        """Return what is offered, by group."""
        found: dict[str, Offer] = {}
        paths = list(dict.fromkeys(path for pattern in patterns for path in self._folders(pattern)))
        for path in paths:
            offer = self._read(path)
            if offer is None:
                continue
            first = found.setdefault(offer.group, offer)
            if first is not offer:
                self.wrong[path] = f"group {offer.group} is offered by {first.path.parent} already"
            elif self.wrong.get(path, "").startswith("group "):
                del self.wrong[path]
        for gone in set(self._known) - set(paths):
            del self._known[gone]
            self.wrong.pop(gone, None)
        return found

    def _folders(self, pattern: str) -> list[Path]:
        matches = glob.glob(os.path.join(self._work, pattern, MANIFEST))  # noqa: PTH118, PTH207 # an absolute one wins
        return [Path(match) for match in sorted(matches)]

    def _read(self, path: Path) -> Offer | None:
        try:
            state = path.stat()
            signature = (os.path.realpath(path), state.st_mtime_ns, state.st_ino, state.st_size)
            known = self._known.get(path)
            if known is not None and known[0] == signature:
                return known[1]
            self.wrong.pop(path, None)
            manifest = GroupManifest.read(path)
            offer = Offer(path, manifest.group, manifest.version, identity_of(path.read_bytes()))
        except OSError:
            return None  # it went while we looked
        except ModelRefusedError as error:
            self.wrong[path] = str(error)
            offer = None
        self._known[path] = (signature, offer)
        return offer
