"""An object of S3 as a file for reading, by requests for ranges of its bytes."""

from __future__ import annotations

import io
from typing import Any

from cloud_functions.adapters.aws import store_errors

_AHEAD = 64 * 1024
"""Least number of bytes of a request: a reader of Parquet begins with small reads at the end of the file."""


class S3File(io.RawIOBase):
    """An object of ``size`` bytes. Raises StoreError when it cannot be read, and if it was replaced meanwhile."""

    def __init__(self, s3: Any, bucket: str, key: str, size: int) -> None:
        super().__init__()
        self._s3, self._bucket, self._key, self._size = s3, bucket, key, size
        self._at, self._begin, self._content, self._version = 0, 0, b"", ""

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, fewer only at the end."""
        end = self._size if size < 0 else min(self._size, self._at + size)
        if end <= self._at:
            return b""
        if not (self._begin <= self._at and end <= self._begin + len(self._content)):
            self._fetch(self._at, end)
        content = self._content[self._at - self._begin : end - self._begin]
        self._at = end
        return content

    def _fetch(self, begin: int, end: int) -> None:
        # The last bytes are read together.
        begin = max(0, min(begin, self._size - _AHEAD)) if end == self._size else begin
        end = min(self._size, max(end, begin + _AHEAD))
        request: dict[str, Any] = {"Range": f"bytes={begin}-{end - 1}"} | (
            {"IfMatch": self._version} if self._version else {}
        )
        with store_errors(f"read {self._key}"):
            answer = self._s3.get_object(Bucket=self._bucket, Key=self._key, **request)
            self._begin, self._content, self._version = begin, answer["Body"].read(), answer["ETag"]
