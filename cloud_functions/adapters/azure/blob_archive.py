"""The archive in Blob storage (Data Lake Storage Gen2): the same Parquet files under the same names as in S3.

An upload replaces a blob as a whole, and so does a copy, so a reader sees the old file or the new one. In an account
with a hierarchical namespace ``rows/date=<day>`` is a folder, which Synapse reads as a partition.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.storage.blob import ContainerClient

from cloud_functions.adapters import parquet
from cloud_functions.adapters.azure.service import store_errors
from cloud_functions.adapters.file_archive import FileArchive
from cloud_functions.adapters.ranged_file import RangedFile
from cloud_functions.core.archive_files import file_of, name_of
from cloud_functions.core.errors import StoreError
from cloud_functions.core.ports import ArchiveFile
from wire.model import Aggregates

_COPY_ATTEMPTS = 200


class BlobArchive(FileArchive):
    """The archive in a container."""

    def __init__(self, container: ContainerClient, sleep: Callable[[float], None] = time.sleep) -> None:
        self._container, self._sleep = container, sleep

    def exists(self, file: ArchiveFile) -> bool:
        """Return True if the file exists."""
        return self._properties(file) is not None

    def size(self, file: ArchiveFile) -> int:
        """Return the size of a file in bytes, 0 if it does not exist."""
        found = self._properties(file)
        return 0 if found is None else int(found.size)

    def upload(self, file: ArchiveFile, path: Path) -> None:
        """Write a file at once as a whole, replacing one of that name."""
        with path.open("rb") as content, store_errors(f"write {name_of(file)}"):
            self._container.upload_blob(name_of(file), content, overwrite=True, length=path.stat().st_size)

    def download(self, file: ArchiveFile, path: Path) -> None:
        """Write the content of a file to a local path."""
        with path.open("wb") as copy, store_errors(f"read {name_of(file)}"):
            self._container.download_blob(name_of(file)).readinto(copy)

    def remove(self, file: ArchiveFile) -> None:
        """Remove the file if it exists."""
        try:
            self._container.delete_blob(name_of(file))
        except ResourceNotFoundError:
            return
        except AzureError as error:
            with store_errors(f"remove {name_of(file)}"):
                raise error

    def rename(self, file: ArchiveFile, to: ArchiveFile) -> None:
        """Give a file another name, replacing a file of that name; repeatable after a crash."""
        target = self._container.get_blob_client(name_of(to))
        with store_errors(f"copy {name_of(file)}"):
            target.start_copy_from_url(self._container.get_blob_client(name_of(file)).url)
            for _ in range(_COPY_ATTEMPTS):
                state = target.get_blob_properties().copy
                if state.status != "pending":
                    break
                self._sleep(0.1)
            if state.status != "success":
                raise StoreError(f"copy {name_of(file)}: {state.status}: {state.status_description or 'no end'}")
        self.remove(file)

    def list_files(self) -> Iterator[ArchiveFile]:
        """Yield all files, also those that readers do not see."""
        for prefix in ("rows/", "staging/"):
            with store_errors(f"list {prefix}"):
                for name in self._container.list_blob_names(name_starts_with=prefix):
                    if (file := file_of(str(name))) is not None:
                        yield file

    def series(self, file: ArchiveFile, gateway: str, series: str, from_ms: int, to_ms: int) -> Aggregates:
        """Return rows of a series in a file, of which only the footer and some row groups are read."""
        found = self._properties(file)
        if found is None:
            return Aggregates.concatenate([])
        source = BlobFile(self._container.get_blob_client(name_of(file)), int(found.size), str(found.etag))
        return parquet.read_series(cast(BinaryIO, source), gateway, series, from_ms, to_ms)

    def _properties(self, file: ArchiveFile) -> Any:
        try:
            return self._container.get_blob_client(name_of(file)).get_blob_properties()
        except ResourceNotFoundError:
            return None
        except AzureError as error:
            with store_errors(f"find {name_of(file)}"):
                raise error


class BlobFile(RangedFile):
    """See :class:`RangedFile`; every request requires the version ``etag``."""

    def __init__(self, blob: Any, size: int, etag: str) -> None:
        super().__init__(size)
        self._blob, self._etag = blob, etag

    def request(self, begin: int, end: int) -> bytes:
        """Return the bytes in [begin, end)."""
        with store_errors(f"read {self._blob.blob_name}"):
            answer = self._blob.download_blob(
                offset=begin, length=end - begin, etag=self._etag, match_condition=MatchConditions.IfNotModified
            )
            return bytes(answer.readall())
