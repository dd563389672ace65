"""The archive: Parquet files in an S3 bucket, ``rows/date=<day>/<hour>-<shard>.parquet``.

A table over ``rows/`` with the partition ``date`` reads them (see template.yaml). Files under ``staging/`` are not part
of it. An upload replaces an object as a whole, so a reader sees the old file or the new one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from botocore.exceptions import ClientError

from cloud_functions.adapters import parquet
from cloud_functions.adapters.aws import error_code, lazy_client, store_errors
from cloud_functions.adapters.file_archive import FileArchive
from cloud_functions.adapters.s3_file import S3File
from cloud_functions.core.archive_files import file_of, name_of
from cloud_functions.core.errors import StoreError
from cloud_functions.core.ports import ArchiveFile
from wire.model import Aggregates

_ATTEMPTS, _CHUNK_BYTES = 3, 1 << 20


class S3Archive(FileArchive):
    """The archive in a bucket."""

    def __init__(self, bucket: str, s3: Any = None) -> None:
        self._bucket, self._client = bucket, s3 if s3 is not None else lazy_client("s3")

    def exists(self, file: ArchiveFile) -> bool:
        """Return True if the file exists."""
        return self._head(file) is not None

    def size(self, file: ArchiveFile) -> int:
        """Return the size of a file in bytes, 0 if it does not exist."""
        head = self._head(file)
        return 0 if head is None else int(head["ContentLength"])

    def upload(self, file: ArchiveFile, path: Path) -> None:
        """Write a file at once as a whole, replacing one of that name."""
        with path.open("rb") as content, store_errors(f"write {name_of(file)}"):
            self._client.put_object(Bucket=self._bucket, Key=name_of(file), Body=content)

    def download(self, file: ArchiveFile, path: Path) -> None:
        """Write the content of a file to a local path."""
        for attempt in range(_ATTEMPTS):
            try:
                with store_errors(f"read {name_of(file)}"):
                    body = self._client.get_object(Bucket=self._bucket, Key=name_of(file))["Body"]
                    with path.open("wb") as copy:
                        for chunk in body.iter_chunks(_CHUNK_BYTES):
                            copy.write(chunk)
                return
            except StoreError:
                # The client repeats requests, but not a download that breaks off.
                if attempt == _ATTEMPTS - 1:
                    raise

    def remove(self, file: ArchiveFile) -> None:
        """Remove the file if it exists."""
        with store_errors(f"remove {name_of(file)}"):
            self._client.delete_object(Bucket=self._bucket, Key=name_of(file))

    def rename(self, file: ArchiveFile, to: ArchiveFile) -> None:
        """Give a file another name, replacing a file of that name; repeatable after a crash."""
        with store_errors(f"copy {name_of(file)}"):
            source = {"Bucket": self._bucket, "Key": name_of(file)}
            self._client.copy_object(Bucket=self._bucket, Key=name_of(to), CopySource=source)
        self.remove(file)

    def list_files(self) -> Iterator[ArchiveFile]:
        """Yield all files, also those that readers do not see."""
        for prefix in ("rows/", "staging/"):
            request: dict[str, Any] = {"Bucket": self._bucket, "Prefix": prefix}
            while True:
                with store_errors(f"list {prefix}"):
                    answer = self._client.list_objects_v2(**request)
                for one in answer.get("Contents", []):
                    if (file := file_of(one["Key"])) is not None:
                        yield file
                if not answer.get("IsTruncated"):
                    break
                request["ContinuationToken"] = answer["NextContinuationToken"]

    def series(self, file: ArchiveFile, gateway: str, series: str, from_ms: int, to_ms: int) -> Aggregates:
        """Return rows of a series in a file, of which only the footer and some row groups are read."""
        size = self.size(file)
        if not size:
            return Aggregates.concatenate([])
        source = S3File(self._client, self._bucket, name_of(file), size)
        return parquet.read_series(cast(BinaryIO, source), gateway, series, from_ms, to_ms)

    def _head(self, file: ArchiveFile) -> dict[str, Any] | None:
        try:
            answer: dict[str, Any] = self._client.head_object(Bucket=self._bucket, Key=name_of(file))
        except ClientError as error:
            if error_code(error) in ("404", "NoSuchKey", "NotFound"):
                return None
            with store_errors(f"find {name_of(file)}"):
                raise
        return answer
