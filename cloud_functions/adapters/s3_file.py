"""An object of S3 as a file for reading."""

from __future__ import annotations

from typing import Any

from cloud_functions.adapters.aws import store_errors
from cloud_functions.adapters.ranged_file import RangedFile


class S3File(RangedFile):
    """See :class:`RangedFile`; later requests require the version that the first one read."""

    def __init__(self, s3: Any, bucket: str, key: str, size: int) -> None:
        super().__init__(size)
        self._s3, self._bucket, self._key, self._version = s3, bucket, key, ""

    def request(self, begin: int, end: int) -> bytes:
        """Return the bytes in [begin, end)."""
        wanted: dict[str, Any] = {"Range": f"bytes={begin}-{end - 1}"} | (
            {"IfMatch": self._version} if self._version else {}
        )
        with store_errors(f"read {self._key}"):
            answer = self._s3.get_object(Bucket=self._bucket, Key=self._key, **wanted)
            content = bytes(answer["Body"].read())
            self._version = answer["ETag"]
        return content
