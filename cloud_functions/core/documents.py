"""Versioned JSON documents with names, such as rules and silences, in the alerts table; writes are optimistic.

A document is one item: ``documents#<kind>`` and its name. Its version begins at 1 and increases by 1 with each write.
A deleted document leaves an item without a body for ``TOMBSTONE_MS``: one of the same name continues its versions, so
that a condition on a version of the deleted one does not hold for the new one.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cloud_functions.core import keys, paging
from cloud_functions.core.errors import (
    ConflictError,
    NotFoundError,
    PreconditionError,
    RequestError,
    StoreError,
)
from cloud_functions.core.ports import Item, NowMs, Table

KINDS = ("rules", "silences", "routes", "channels")
MAX_BYTES = 32_768
"""Longest body as JSON; all documents of a kind are read together."""
MAX_AUTHOR = 256
DEFAULT_LISTED, MAX_LISTED = 100, 1_000
ATTEMPTS = 8
TOMBSTONE_MS = 90 * 86_400_000

_DELETED = "deleted"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


@dataclass(frozen=True, slots=True)
class Document:
    """A stored document: ``body`` is the JSON object as it was written, without the attributes beside it."""

    name: str
    version: int
    updated_ms: int
    updated_by: str
    body: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the body with ``name``, ``version``, ``updated_ms`` and ``updated_by``, as the API answers it."""
        about = {"version": self.version, "updated_ms": self.updated_ms, "updated_by": self.updated_by}
        return self.body | {"name": self.name} | about


Listed = list[Document]
"""The method ``list`` hides the type's name inside the class."""


class Documents:
    """The documents of one kind. Every method raises StoreError when the table fails."""

    def __init__(self, table: Table, kind: str, now_ms: NowMs) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r}: one of {', '.join(KINDS)}")
        self._table, self._kind, self._now_ms = table, kind, now_ms

    def get(self, name: str) -> Document | None:
        """Return a document by a consistent read, or None; raises RequestError for an invalid name."""
        return self._read(name)[0]

    def list(self, limit: int = DEFAULT_LISTED, cursor: str | None = None) -> tuple[Listed, str | None]:
        """Return a page of documents in the order of their names, and the cursor of the next page or None.

        Raises RequestError for an invalid limit or cursor.
        """
        if not 1 <= limit <= MAX_LISTED:
            raise RequestError([f"limit: {limit}: 1 to {MAX_LISTED}"])
        after = check_name(paging.decode(cursor, self._kind, str)[0]) if cursor is not None else ""
        found = [*itertools.islice(self._query(after), limit + 1)]
        more = paging.encode(self._kind, found[limit - 1].name) if len(found) > limit else None
        return found[:limit], more

    def all(self) -> Listed:
        """Return all documents in the order of their names."""
        return [*self._query("")]

    def put(
        self, name: str, body: Mapping[str, Any], by: str, version: int | None = None, create_only: bool = False
    ) -> Document:
        """Write a document and return it with its new version; an equal body is not written again.

        ``version`` is the one that the document must have, ``create_only`` requires that the name is not taken.
        Raises PreconditionError if that is not so, RequestError for an invalid name or a body that is too long.
        """
        content = json.dumps(dict(body), separators=(",", ":"), sort_keys=True)
        if len(content) > MAX_BYTES:
            raise RequestError([f"body: {len(content)} bytes as JSON: {MAX_BYTES} at most"])
        for _ in range(ATTEMPTS):
            before, there = self._read(name)
            self._require(name, before, version, create_only)
            if before is not None and before.body == body:
                return before
            after = Document(name, there + 1, self._now_ms(), by[:MAX_AUTHOR], dict(body))
            if self._table.replace(self._item(after, content), there):
                return after
        raise ConflictError(f"{self._kind} {name}: changed by others {ATTEMPTS} times in a row")

    def delete(self, name: str, version: int | None = None) -> None:
        """Delete a document; raises NotFoundError, and PreconditionError for a version that it does not have."""
        for _ in range(ATTEMPTS):
            before, there = self._read(name)
            if before is None:
                raise NotFoundError([f"{self._kind} {name!r}: there is no document of this name"])
            self._require(name, before, version, create_only=False)
            if self._table.replace(self._tombstone(name), there):
                return
        raise ConflictError(f"{self._kind} {name}: changed by others {ATTEMPTS} times in a row")

    def _require(self, name: str, before: Document | None, version: int | None, create_only: bool) -> None:
        there = 0 if before is None else before.version
        if create_only and there:
            raise PreconditionError([f"{self._kind} {name!r}: it exists already, with version {there}"])
        if version is not None and version != there:
            state = f"its version is {there}" if there else "there is no document of this name"
            raise PreconditionError([f"{self._kind} {name!r}: {state}, the request requires version {version}"])

    def _read(self, name: str) -> tuple[Document | None, int]:
        """Return a document or None, and the version of its item, which is also that of a deleted one."""
        item = self._table.get(keys.document(self._kind, check_name(name)))
        if item is None:
            return None, 0
        return (None if item["kind"] == _DELETED else _document(item)), int(item["version"])

    def _query(self, after: str) -> Iterator[Document]:
        first = f"{after}\x01" if after else ""
        items = self._table.query(keys.documents(self._kind), first)
        return (_document(item) for item in items if item["kind"] != _DELETED)

    def _tombstone(self, name: str) -> Item:
        key = keys.document(self._kind, name)
        expires_at = (self._now_ms() + TOMBSTONE_MS) // 1000
        return {"pk": key.pk, "sk": key.sk, "kind": _DELETED, "expires_at": expires_at}

    def _item(self, document: Document, content: str) -> Item:
        key = keys.document(self._kind, document.name)
        return {
            "pk": key.pk,
            "sk": key.sk,
            "kind": "document",
            "body": content,
            "updated_ms": document.updated_ms,
            "updated_by": document.updated_by,
        }


def check_name(name: str) -> str:
    """Return the name of a document; raises RequestError for an invalid one."""
    if not _NAME.match(name):
        raise RequestError([f"name: {name[:80]!r}: 1 to 64 of A-Z a-z 0-9 . _ -, the first a letter or digit"])
    return name


def _document(item: Item) -> Document:
    try:
        body = json.loads(str(item["body"]))
        return Document(str(item["sk"]), int(item["version"]), int(item["updated_ms"]), str(item["updated_by"]), body)
    except (KeyError, ValueError) as error:
        raise StoreError(f"document {item.get('pk')!s} {item.get('sk')!s}: not readable: {error}") from error
