"""The archive as Parquet files in an object store: what is the same in every cloud."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cloud_functions.adapters import parquet
from cloud_functions.core.ports import ArchiveFile
from wire.model import Aggregates


class FileArchive(ABC):
    """Archive whose files pass through the temporary folder. Every method raises StoreError."""

    @abstractmethod
    def upload(self, file: ArchiveFile, path: Path) -> None:
        """Write a file at once as a whole, replacing one of that name."""

    @abstractmethod
    def download(self, file: ArchiveFile, path: Path) -> None:
        """Write the content of a file to a local path."""

    @abstractmethod
    def remove(self, file: ArchiveFile) -> None:
        """Remove the file if it exists."""

    def rows(self, file: ArchiveFile) -> Iterator[tuple[str, Aggregates]]:
        """Yield the rows of a file by gateway, in the order of gateways."""
        with self._downloaded(file) as path:
            yield from parquet.read(path)

    def replace(self, file: ArchiveFile, rows: Iterable[tuple[str, Aggregates]]) -> None:
        """Write a file at once as a whole; without rows remove it."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.parquet"
            if parquet.write(path, rows):
                self.upload(file, path)
            else:
                self.remove(file)

    def contains(self, file: ArchiveFile, gateway: str, series: str | None) -> bool:
        """Return True if a file has rows of a gateway, and of the series if one is named."""
        with self._downloaded(file) as path:
            return parquet.contains(path, gateway, series)

    @contextmanager
    def _downloaded(self, file: ArchiveFile) -> Iterator[Path]:
        """Yield the path of a temporary copy of the file."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.parquet"
            self.download(file, path)
            yield path
