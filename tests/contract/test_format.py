"""The format: what gateways have sent is readable for ever, by this package and by a reader written from FORMAT.md."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from tests.contract import decoder
from tests.contract.make_golden import (
    GOLDEN,
    LIST,
    NAME,
    PROFILE_VERSION,
    aggregates,
    cases,
    digests,
    shown,
    with_column,
)
from wire import codec
from wire.errors import FormatError, UnknownProfileError
from wire.words import DICTIONARY

BATCHES = sorted(path.stem for path in GOLDEN.glob("*.batch") if path.stem != "profile")
SENT_PROFILE = (GOLDEN / "profile.batch").read_bytes()


def golden(name: str) -> tuple[bytes, Any]:
    return (GOLDEN / f"{name}.batch").read_bytes(), json.loads((GOLDEN / f"{name}.json").read_text())


def find(gateway: str, version: int) -> codec.Profile | None:
    owner, known = codec.decode_profile(SENT_PROFILE)
    return known if (owner, known.version) == (gateway, version) else None


def assert_same(left: Any, right: Any) -> None:
    """Equal but for the last digits that 2^x may differ in from one platform to the next."""
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert one.keys() == other.keys()
        for key, value in one.items():
            expected = other[key]
            if isinstance(value, float | int) and not isinstance(expected, str):
                assert math.isclose(value, expected, rel_tol=1e-12), (key, value, expected)
            else:
                assert str(value) == str(expected), key


def test_there_is_a_golden_batch_for_each_kind_coder_and_feature() -> None:
    assert {name for name, _ in cases()} == {path.stem for path in GOLDEN.glob("*.batch")}


def test_no_golden_file_was_changed_or_taken_away() -> None:
    listed = dict(reversed(line.split()) for line in LIST.read_text().splitlines() if line.startswith("    "))
    assert listed == digests()


@pytest.mark.parametrize("name", BATCHES)
def test_a_golden_batch_decodes_to_what_it_always_did(name: str) -> None:
    data, expected = golden(name)
    batch = codec.decode(data, find)
    assert (batch.gateway, batch.epoch, batch.sequence) == NAME
    rows = shown(batch.rows)
    if isinstance(rows, dict):
        assert rows == expected
    else:
        assert_same(rows, expected)


@pytest.mark.parametrize("name", BATCHES)
def test_the_reader_written_from_the_page_agrees(name: str) -> None:
    data, expected = golden(name)
    known = decoder.decode(SENT_PROFILE)
    batch = decoder.decode(data, {known["version"]: known["rows"]})
    assert (batch["gateway"], batch["epoch"], batch["sequence"]) == NAME
    if isinstance(batch["rows"], dict):
        assert batch["rows"] == expected
        return
    if batch["kind"] == "aggregates":
        for row in batch["rows"]:
            row["start_ms"] = row.pop("time_ms")
    assert_same(batch["rows"], expected)


def test_the_reader_written_from_the_page_imports_nothing_of_the_project() -> None:
    text = Path(decoder.__file__).read_text()
    imported = re.findall(r"^(?:import|from) ([^\n#]*)", text, re.MULTILINE)
    assert imported == ["itertools, json, lzma, math, pathlib, re, struct, zlib"]
    assert decoder.DICTIONARY == DICTIONARY
    assert len(text.splitlines()) < 200


def test_a_batch_whose_profile_is_not_known_says_which() -> None:
    data, _ = golden("with-profile")
    with pytest.raises(UnknownProfileError) as error:
        codec.decode(data)
    assert error.value.version == PROFILE_VERSION


def test_a_column_of_a_later_version_is_skipped_only_where_it_may_be() -> None:
    rows = shown(codec.unpack(with_column(aggregates(3), 99 | 0x80)))
    assert rows == shown(codec.unpack(codec.pack(aggregates(3))))
    with pytest.raises(FormatError, match="column 99"):
        codec.unpack(with_column(aggregates(3), 99))
