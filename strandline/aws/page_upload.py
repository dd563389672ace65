"""Upload of the built page into the bucket of a stack with ``Page=on``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloud_functions.dashboard import page


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file of the page as an object of the bucket."""

    name: str
    content: bytes
    content_type: str
    cache_control: str


def page_files(config: bytes, dist: Path = page.DIST) -> Iterator[PageFile]:
    """Yield the files in the order of their upload: ``index.html`` last, when all that it refers to is there."""
    names = sorted(page.files(dist), key=lambda name: (name == page.INDEX, name))
    contents = [(page.CONFIG, config)] + [(name, (dist / name).read_bytes()) for name in names]
    for name, content in contents:
        yield PageFile(name, content, page.content_type(name), page.cache_control(name))


def upload(s3: Any, bucket: str, files: Iterator[PageFile]) -> list[str]:
    """Upload the files and return their names; files of an earlier build stay, for pages that are open."""
    names = []
    for file in files:
        s3.put_object(
            Bucket=bucket,
            Key=file.name,
            Body=file.content,
            ContentType=file.content_type,
            CacheControl=file.cache_control,
        )
        names.append(file.name)
    return names
