"""Progress of watching a gateway: what was read and learned, as one compressed item of the alerts table."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cloud_functions.core import keys
from cloud_functions.core.health import MAX_HISTORY, Notice
from cloud_functions.core.ports import Item
from cloud_functions.core.rhythm import Rhythm
from cloud_functions.core.rule_evaluation import Progress

MAX_MISSING = 64
MAX_RECENT = 200
MAX_PROFILES = 2
EXPIRES_MS = 30 * 86_400_000


@dataclass(slots=True)
class Watched:
    """Progress of a gateway.

    ``epochs`` has the highest read sequence number of each epoch, ``missing`` the numbers below it that had not
    arrived. ``http_ms`` and ``http_recent`` are the arrival and the names of the last batches that were posted.
    ``profiles`` has the names of the series of the last profiles by version, so that batches can be attributed without
    reading their profile. ``rules`` has the progress by rule and series, ``silent`` and ``unhealthy`` the onset of the
    open alerts by series and by finding.
    """

    version: int = 0
    rhythm: Rhythm | None = None
    epochs: dict[str, int] = field(default_factory=dict)
    missing: list[tuple[str, int]] = field(default_factory=list)
    http_ms: int = 0
    http_recent: list[str] = field(default_factory=list)
    rows_ms: int = 0
    series: dict[str, Rhythm] = field(default_factory=dict)
    profiles: dict[str, list[str]] = field(default_factory=dict)
    rules: dict[str, Progress] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    silent: dict[str, int] = field(default_factory=dict)
    unhealthy: dict[str, int] = field(default_factory=dict)

    def learn_profile(self, version: int, names: list[str]) -> None:
        """Keep the names of the series of a profile, of at most ``MAX_PROFILES`` versions."""
        self.profiles[str(version)] = names
        while len(self.profiles) > MAX_PROFILES:
            del self.profiles[next(iter(self.profiles))]

    def to_item(self, gateway: str, now_ms: int) -> Item:
        """Return the progress as an item."""
        body: dict[str, Any] = {
            "rhythm": self.rhythm.to_list() if self.rhythm else None,
            "epochs": self.epochs,
            "missing": self.missing[-MAX_MISSING:],
            "http_ms": self.http_ms,
            "http_recent": self.http_recent[-MAX_RECENT:],
            "rows_ms": self.rows_ms,
            "series": {name: rhythm.to_list() for name, rhythm in self.series.items()},
            "profiles": self._profile_ids(),
            "rules": {name: progress.to_dict() for name, progress in self.rules.items()},
            "notices": [[n.time_ms, n.received_ms, n.spool_bytes, dict(n.stale)] for n in self.notices[-MAX_HISTORY:]],
            "silent": self.silent,
            "unhealthy": self.unhealthy,
        }
        key = keys.watched(gateway)
        data = zlib.compress(json.dumps(body, separators=(",", ":")).encode(), 6)
        expires_at = (now_ms + EXPIRES_MS) // 1000
        return {"pk": key.pk, "sk": key.sk, "kind": "watched", "body": data, "expires_at": expires_at}

    def _profile_ids(self) -> dict[str, list[int]]:
        """Return the known profiles as indices in the list of series; one with other series is left out."""
        index_of = {name: at for at, name in enumerate(self.series)}
        return {
            version: [index_of[name] for name in names]
            for version, names in self.profiles.items()
            if all(name in index_of for name in names)
        }

    @classmethod
    def from_item(cls, item: Mapping[str, Any] | None) -> Watched:
        """Return the progress of an item; None for a gateway that was never watched."""
        if item is None:
            return cls()
        body = json.loads(zlib.decompress(bytes(item["body"])))
        names = list(body["series"])
        return cls(
            version=int(item["version"]),
            rhythm=Rhythm.from_list(body["rhythm"]) if body["rhythm"] else None,
            epochs={str(name): int(number) for name, number in body["epochs"].items()},
            missing=[(str(epoch), int(number)) for epoch, number in body["missing"]],
            http_ms=int(body["http_ms"]),
            http_recent=[str(name) for name in body["http_recent"]],
            rows_ms=int(body["rows_ms"]),
            series={name: Rhythm.from_list(values) for name, values in body["series"].items()},
            profiles={version: [names[at] for at in places] for version, places in body.get("profiles", {}).items()},
            rules={name: Progress.from_dict(values) for name, values in body["rules"].items()},
            notices=[Notice(int(t), int(r), int(size), stale) for t, r, size, stale in body["notices"]],
            silent={name: int(onset) for name, onset in body["silent"].items()},
            unhealthy={name: int(onset) for name, onset in body["unhealthy"].items()},
        )
