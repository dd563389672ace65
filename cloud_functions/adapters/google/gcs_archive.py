"""The archive in Cloud Storage: the same Parquet files under the same names as in S3, which BigQuery reads in place.

An upload replaces an object as a whole, and so does a copy, so a reader sees the old file or the new one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.cloud.exceptions import NotFound
from google.cloud.storage.retry import DEFAULT_RETRY

from cloud_functions.adapters import parquet
from cloud_functions.adapters.file_archive import FileArchive
from cloud_functions.adapters.google.service import store_errors
from cloud_functions.core.archive_files import file_of, name_of
from cloud_functions.core.ports import ArchiveFile
from wire.model import Aggregates

RETRY = DEFAULT_RETRY.with_delay(initial=0.2, maximum=1.0).with_timeout(10.0)
_TIMEOUT_S = 5.0
_FORMAT = "application/vnd.apache.parquet"


class CloudStorageArchive(FileArchive):
    """The archive in a bucket, a ``google.cloud.storage.Bucket``.

    Every operation is repeated after a failure of the service: an upload replaces the object by the same bytes.
    """

    def __init__(self, bucket: Any, retry: Any = RETRY) -> None:
        self._bucket = bucket
        self._options: dict[str, Any] = {"retry": retry, "timeout": _TIMEOUT_S}

    def exists(self, file: ArchiveFile) -> bool:
        """Return True if the file exists."""
        return self._found(file) is not None

    def size(self, file: ArchiveFile) -> int:
        """Return the size of a file in bytes, 0 if it does not exist."""
        found = self._found(file)
        return 0 if found is None else int(found.size)

    def upload(self, file: ArchiveFile, path: Path) -> None:
        """Write a file at once as a whole, replacing one of that name."""
        with store_errors(f"write {name_of(file)}"):
            self._blob(file).upload_from_filename(str(path), content_type=_FORMAT, **self._options)

    def download(self, file: ArchiveFile, path: Path) -> None:
        """Write the content of a file to a local path."""
        with store_errors(f"read {name_of(file)}"):
            self._blob(file).download_to_filename(str(path), **self._options)

    def remove(self, file: ArchiveFile) -> None:
        """Remove the file if it exists."""
        with store_errors(f"remove {name_of(file)}"):
            try:
                self._blob(file).delete(**self._options)
            except NotFound:
                return

    def rename(self, file: ArchiveFile, to: ArchiveFile) -> None:
        """Give a file another name, replacing a file of that name; repeatable after a crash."""
        with store_errors(f"copy {name_of(file)}"):
            target, token = self._blob(to), None
            while True:
                token, _, _ = target.rewrite(self._blob(file), token=token, **self._options)
                if token is None:
                    break
        self.remove(file)

    def list_files(self) -> Iterator[ArchiveFile]:
        """Yield all files, also those that readers do not see."""
        for prefix in ("rows/", "staging/"):
            with store_errors(f"list {prefix}"):
                for blob in self._bucket.client.list_blobs(self._bucket, prefix=prefix, **self._options):
                    if (file := file_of(blob.name)) is not None:
                        yield file

    def series(self, file: ArchiveFile, gateway: str, series: str, from_ms: int, to_ms: int) -> Aggregates:
        """Return rows of a series in a file, of which only the footer and some row groups are read."""
        found = self._found(file)
        if found is None:
            return Aggregates.concatenate([])
        with store_errors(f"read {name_of(file)}"), found.open("rb", chunk_size=256 * 1024, **self._options) as source:
            return parquet.read_series(source, gateway, series, from_ms, to_ms)

    def _blob(self, file: ArchiveFile) -> Any:
        return self._bucket.blob(name_of(file))

    def _found(self, file: ArchiveFile) -> Any:
        with store_errors(f"find {name_of(file)}"):
            return self._bucket.get_blob(name_of(file), **self._options)
