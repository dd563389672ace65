"""Versioned documents: names, versions, preconditions, pages, and concurrent writes."""

from __future__ import annotations

import pytest

from cloud_functions.core import keys, paging
from cloud_functions.core.documents import MAX_BYTES, Document, Documents
from cloud_functions.core.errors import ConflictError, NotFoundError, PreconditionError, RequestError, StoreError
from tests.unit.cloud.fakes import NOW_MS, FakeTable


def documents(table: FakeTable | None = None, kind: str = "rules") -> Documents:
    return Documents(table if table is not None else FakeTable(), kind, lambda: NOW_MS)


def test_a_document_is_read_as_it_was_written():
    rules = documents()
    written = rules.put("hot", {"above": 80.5, "text": "é\u2028"}, "ada")
    assert written == Document("hot", 1, NOW_MS, "ada", {"above": 80.5, "text": "é\u2028"})
    assert rules.get("hot") == written
    assert written.to_dict()["name"] == "hot"
    assert rules.get("cold") is None


def test_kinds_do_not_share_names():
    table = FakeTable()
    documents(table, "rules").put("a", {"x": 1}, "ada")
    assert documents(table, "routes").get("a") is None
    assert documents(table, "routes").all() == []
    with pytest.raises(ValueError, match="one of rules"):
        documents(table, "gateways")


def test_each_write_increases_the_version_and_an_equal_body_is_not_written():
    table = FakeTable()
    rules = documents(table)
    rules.put("a", {"x": 1}, "ada")
    assert rules.put("a", {"x": 2}, "bob").version == 2
    writes = len(table.attempts)
    assert rules.put("a", {"x": 2}, "carl") == rules.get("a")
    assert rules.put("a", {"x": 2}, "carl").updated_by == "bob"
    assert len(table.attempts) == writes


def test_a_write_with_another_version_is_refused():
    rules = documents()
    rules.put("a", {"x": 1}, "ada")
    rules.put("a", {"x": 2}, "ada", version=1)
    with pytest.raises(PreconditionError, match="its version is 2, the request requires version 1"):
        rules.put("a", {"x": 3}, "ada", version=1)
    with pytest.raises(PreconditionError, match="there is no document"):
        rules.put("b", {"x": 3}, "ada", version=1)
    with pytest.raises(PreconditionError, match="its version is 2"):
        rules.delete("a", version=1)
    assert [one.body for one in rules.all()] == [{"x": 2}]


def test_create_only_refuses_an_existing_name():
    rules = documents()
    rules.put("a", {"x": 1}, "ada", create_only=True)
    with pytest.raises(PreconditionError, match="it exists already"):
        rules.put("a", {"x": 1}, "ada", create_only=True)


def test_a_deleted_document_is_gone():
    rules = documents()
    rules.put("a", {"x": 1}, "ada")
    rules.delete("a")
    assert rules.get("a") is None
    with pytest.raises(NotFoundError, match="'a'"):
        rules.delete("a")


def test_a_condition_on_a_deleted_document_does_not_hold_for_a_new_one_of_its_name():
    rules = documents()
    first = rules.put("a", {"x": 1}, "ada")
    rules.delete("a")
    assert rules.all() == []
    assert rules.list() == ([], None)
    with pytest.raises(PreconditionError, match="there is no document"):
        rules.put("a", {"x": 2}, "bob", version=first.version)
    again = rules.put("a", {"x": 1}, "bob", create_only=True)
    assert again.version > first.version
    with pytest.raises(PreconditionError):
        rules.delete("a", version=first.version)
    rules.delete("a", version=again.version)


@pytest.mark.parametrize("name", ["", "a/b", "a#b", "-a", "a" * 65, "é", "a\n"])
def test_an_invalid_name_is_refused(name):
    rules = documents()
    with pytest.raises(RequestError, match="name:"):
        rules.get(name)
    with pytest.raises(RequestError, match="name:"):
        rules.put(name, {}, "ada")
    with pytest.raises(RequestError, match="name:"):
        rules.delete(name)


def test_a_body_that_is_too_long_is_refused():
    with pytest.raises(RequestError, match=f"{MAX_BYTES} at most"):
        documents().put("a", {"x": "y" * MAX_BYTES}, "ada")


def test_pages_have_every_document_once_in_order():
    rules = documents()
    names = [f"rule-{at:02d}" for at in range(7)] + ["rule-0", "rule-01.x"]
    for name in names:
        rules.put(name, {"x": name}, "ada")
    found, cursor, pages = [], None, 0
    while True:
        page, cursor = rules.list(2, cursor)
        found += [one.name for one in page]
        pages += 1
        if cursor is None:
            break
    assert found == sorted(names) == [one.name for one in rules.all()]
    assert pages == 5


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_an_invalid_limit_is_refused(limit):
    with pytest.raises(RequestError, match="limit"):
        documents().list(limit)


@pytest.mark.parametrize("cursor", ["", "x", "7f", "é", "a" * 5000, paging.encode("routes", "a"), "W10", "bnVsbA"])
def test_an_invalid_cursor_is_refused(cursor):
    with pytest.raises(RequestError, match="cursor"):
        documents().list(2, cursor)


def test_a_write_between_reading_and_writing_is_not_lost():
    table = FakeTable()
    rules = documents(table)
    rules.put("a", {"x": 1}, "ada")

    def other() -> None:
        table.before_replace = None
        documents(table).put("a", {"x": 2}, "bob")

    table.before_replace = other
    assert rules.put("a", {"x": 3}, "ada").version == 3
    table.before_replace = other
    with pytest.raises(PreconditionError):
        rules.put("a", {"x": 4}, "ada", version=3)


def test_a_name_that_others_change_for_ever_is_a_conflict():
    table = FakeTable()
    rules = documents(table)
    rules.put("a", {"x": 0}, "ada")
    key = keys.document("rules", "a")

    def other() -> None:
        table.items[key]["version"] = int(table.items[key]["version"]) + 1

    table.before_replace = other
    with pytest.raises(ConflictError):
        rules.put("a", {"x": -1}, "ada")
    with pytest.raises(ConflictError):
        rules.delete("a")


def test_an_unreadable_item_is_a_store_error_that_names_it():
    table = FakeTable()
    documents(table).put("a", {}, "ada")
    table.items[keys.document("rules", "a")]["body"] = "{"
    with pytest.raises(StoreError, match="rules a"):
        documents(table).all()
