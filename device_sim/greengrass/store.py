"""Store of the component configurations on disk, with change notifications."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_sim.greengrass import configuration
from device_sim.greengrass.access_control import KEY, Policy, policies
from device_sim.greengrass.configuration import Configuration
from device_sim.greengrass.configuration import Path as Keys

Changed = Callable[[Keys], None]
"""Called with the path of a leaf that changed."""


@dataclass(eq=False, slots=True)
class _Watch:
    name: str
    path: Keys
    changed: Changed


class ConfigurationStore:
    """One :class:`Configuration` per component, written to a file at each change so that it survives a restart."""

    def __init__(self, file: Path, log: logging.Logger) -> None:
        self._file, self._log = file, log
        self._kept: dict[str, Configuration] = self._read()
        self._policies: dict[str, tuple[Policy, ...]] = {}
        self._watches: list[_Watch] = []

    def get(self, name: str) -> Configuration | None:
        """Return a component's configuration, or None."""
        return self._kept.get(name)

    def snapshot(self) -> dict[str, Configuration]:
        """Return all current configurations."""
        return dict(self._kept)

    def policies(self, name: str) -> tuple[Policy, ...]:
        """Return the policies of a component's accessControl."""
        if name not in self._policies:
            kept = self._kept.get(name)
            good, bad = policies(kept.values.get(KEY) if kept is not None else None)
            for sentence in bad:
                self._log.error("%s: %s", name, sentence)
            self._policies[name] = good
        return self._policies[name]

    def put(self, configurations: Mapping[str, Configuration]) -> None:
        """Replace the configurations of these components, write them and notify about changed leaves."""
        changes = []
        for name, new in configurations.items():
            old = self._kept.get(name)
            self._kept[name] = new
            self._policies.pop(name, None)
            changes += [(name, leaf) for leaf in configuration.changed(old.values if old else {}, new.values)]
        if changes:
            self._write()
        for name, leaf in changes:
            self._notify(name, leaf)

    def remove(self, names: Iterable[str]) -> None:
        """Remove the configurations of components."""
        for name in names:
            self._kept.pop(name, None)
            self._policies.pop(name, None)
        self._write()

    def update(self, name: str, path: Sequence[str], value: Mapping[str, Any], timestamp_ms: int) -> None:
        """Merge ``value`` in at ``path``; raises ConfigurationError or StaleUpdateError."""
        self.put({name: self._kept[name].updated(path, value, timestamp_ms)})

    def watch(self, name: str, path: Keys, changed: Changed) -> Callable[[], None]:
        """Call ``changed`` for each change at, below or above ``path``; return the function that ends the watch."""
        watch = _Watch(name, path, changed)
        self._watches.append(watch)

        def end() -> None:
            if watch in self._watches:
                self._watches.remove(watch)

        return end

    def drop_watches(self) -> None:
        """Drop all watches, as a restart of ggconfigd does."""
        self._watches.clear()

    def _notify(self, name: str, leaf: Keys) -> None:
        for watch in tuple(self._watches):
            shared = min(len(leaf), len(watch.path))
            if watch.name == name and leaf[:shared] == watch.path[:shared]:
                watch.changed(leaf)

    def _write(self) -> None:
        content = {
            name: {"values": kept.values, "modified": [[list(path), at] for path, at in kept.modified.items()]}
            for name, kept in self._kept.items()
        }
        fresh = self._file.with_suffix(".new")
        try:
            with fresh.open("w") as file:
                json.dump(content, file)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._file)
        except OSError as error:
            self._log.error("%s: cannot be written, the configuration is in memory only: %s", self._file, error)

    def _read(self) -> dict[str, Configuration]:
        try:
            content = json.loads(self._file.read_bytes())
            return {
                name: Configuration(kept["values"], {tuple(path): int(at) for path, at in kept["modified"]})
                for name, kept in content.items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            aside = self._file.with_suffix(".unreadable")
            self._log.error("%s: cannot be read (%s); renamed to %s, using defaults", self._file, error, aside.name)
            if self._file.exists():
                self._file.replace(aside)
            return {}
