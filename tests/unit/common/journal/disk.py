"""In-memory disk that can lose its cache: unsynced writes may be present, torn or absent after a power cut."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field


@dataclass
class FakeDisk:
    """Storage that distinguishes synced content from content in the page cache."""

    synced: dict[str, bytearray] = field(default_factory=dict)
    cached: dict[str, bytearray] = field(default_factory=dict)
    unsynced: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    operations: list[tuple[str, str, int, bytes]] = field(default_factory=list)
    refusing: int | None = None
    """The errno that every change fails with."""
    failing: frozenset[str] = frozenset({"allocate", "write", "sync"})

    def names(self) -> list[str]:
        return sorted(self.cached)

    def read(self, name: str) -> bytes:
        if name not in self.cached:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return bytes(self.cached[name])

    def size(self, name: str) -> int:
        return len(self.cached.get(name, b""))

    def allocate(self, name: str, size: int) -> None:
        self._change("allocate", name, size, b"")
        for files in (self.synced, self.cached):
            file = files.setdefault(name, bytearray())
            file[:] = file[:size] + bytes(max(0, size - len(file)))

    def write(self, name: str, offset: int, data: bytes) -> None:
        self._change("write", name, offset, data)
        if name not in self.cached:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        assert offset + len(data) <= len(self.cached[name]), "written beyond what was allocated"
        self.cached[name][offset : offset + len(data)] = data
        self.unsynced.setdefault(name, []).append((offset, data))

    def sync(self, name: str) -> None:
        self._change("sync", name, 0, b"")
        self.synced[name] = bytearray(self.cached[name])
        self.unsynced.pop(name, None)

    def remove(self, name: str) -> None:
        self._change("remove", name, 0, b"")
        self.cached.pop(name, None)
        self.synced.pop(name, None)

    def close(self) -> None:
        pass

    def killed(self) -> FakeDisk:
        """Return the disk after a kill of the process: with the content of the cache."""
        files = {name: bytearray(data) for name, data in self.cached.items()}
        unsynced = {name: list(writes) for name, writes in self.unsynced.items()}
        return FakeDisk({name: bytearray(data) for name, data in self.synced.items()}, files, unsynced)

    def cut(self, keep: dict[str, list[tuple[int, bytes]]]) -> FakeDisk:
        """Return the disk after a power cut, on which of the unsynced writes only ``keep`` arrived."""
        files = {name: bytearray(data) for name, data in self.synced.items()}
        for name, writes in keep.items():
            for offset, data in writes:
                files[name][offset : offset + len(data)] = data
        return FakeDisk(files, {name: bytearray(data) for name, data in files.items()})

    def _change(self, operation: str, name: str, offset: int, data: bytes) -> None:
        if self.refusing is not None and operation in self.failing:
            raise OSError(self.refusing, os.strerror(self.refusing))
        self.operations.append((operation, name, offset, data))
