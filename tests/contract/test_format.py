"""The wire format: golden batches are decoded by this package and by an independent decoder written from FORMAT.md."""

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
    json_rows,
    with_column,
)
from tests.contract.rare_ways import BYTES_WINDOWS, MODEL_WINDOWS
from wire import codec, container
from wire.columns import EACH, Id, Mode
from wire.container import Kind
from wire.errors import FormatError, UnknownProfileError
from wire.preset_dictionary import DICTIONARY

BATCHES = sorted(path.stem for path in GOLDEN.glob("*.batch") if path.stem != "profile")
SENT_PROFILE = (GOLDEN / "profile.batch").read_bytes()


def golden(name: str) -> tuple[bytes, Any]:
    return (GOLDEN / f"{name}.batch").read_bytes(), json.loads((GOLDEN / f"{name}.json").read_text())


def find(gateway: str, version: int) -> codec.Profile | None:
    owner, known = codec.decode_profile(SENT_PROFILE)
    return known if (owner, known.version) == (gateway, version) else None


def assert_same(left: Any, right: Any) -> None:
    """Assert equality within the last digits, in which 2^x differs between platforms."""
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert one.keys() == other.keys()
        for key, value in one.items():
            expected = other[key]
            if isinstance(value, float | int) and not isinstance(expected, str):
                assert math.isclose(value, expected, rel_tol=1e-12), (key, value, expected)
            else:
                assert str(value) == str(expected), key


@pytest.mark.slow
def test_each_kind_coder_and_feature_has_a_golden_batch() -> None:
    assert {name for name, _ in cases()} == {path.stem for path in GOLDEN.glob("*.batch")}


def test_golden_files_are_unchanged() -> None:
    entries = (line.split() for line in LIST.read_text().splitlines() if line.startswith("    "))
    listed = {name: digest for digest, name in entries}
    assert listed == digests()


@pytest.mark.parametrize("name", BATCHES)
def test_a_golden_batch_decodes_to_its_stored_rows(name: str) -> None:
    data, expected = golden(name)
    batch = codec.decode(data, find)
    assert (batch.gateway, batch.epoch, batch.sequence) == NAME
    rows = json_rows(batch.rows)
    if isinstance(rows, dict):
        assert rows == expected
    else:
        assert_same(rows, expected)


@pytest.mark.parametrize("name", [name for name in BATCHES if not name.endswith("-profile")])
def test_a_golden_batch_is_encoded_again_in_no_more_bytes(name: str) -> None:
    data, _ = golden(name)
    again = codec.encode(codec.decode(data, find), 65_536)
    assert len(again) <= len(data)
    rows, expected = (json_rows(codec.decode(one, find).rows) for one in (again, data))
    if isinstance(rows, dict):
        assert rows == expected
    else:
        assert_same(rows, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", BATCHES)
def test_the_independent_decoder_gives_the_same_rows(name: str) -> None:
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


def test_the_independent_decoder_imports_only_the_standard_library() -> None:
    text = Path(decoder.__file__).read_text()
    imported = re.findall(r"^(?:import|from) ([^\n#]*)", text, re.MULTILINE)
    assert imported == ["itertools, json, lzma, math, pathlib, re, struct, zlib"]
    assert decoder.DICTIONARY == DICTIONARY
    assert len(text.splitlines()) <= 200


@pytest.mark.slow
def test_the_golden_batches_contain_every_encoding_of_a_column() -> None:
    seen: dict[str, set[Any]] = {name: set() for name in ("modes", "windows", "shapes", "memories", "late")}
    for name in BATCHES:
        parts = container.unpack(container.unseal(golden(name)[0])[3])
        if parts.kind not in (Kind.READINGS, Kind.AGGREGATES):
            continue
        reader = codec.open_rows(parts, lambda version: find(NAME[0], version)).reader
        seen["late"].add(reader.late)
        for column, entry in reader.entries.items():
            each = entry.payload[0] == EACH
            seen["modes"].add((Id(column), Mode(entry.mode)))
            if entry.mode in (Mode.SIGNED, Mode.UNSIGNED, Mode.MODELLED):
                groups = len(reader.kinds) * (2 if reader.regimes and column == Id.SCORE else 1) if each else 1
                seen["windows"] |= {(Mode(entry.mode), window) for window in entry.payload[each : each + groups]}
            if entry.mode == Mode.MODELLED:
                shape, _, _, memory = entry.payload[each + groups :][:4]
                seen["shapes"].add(shape)
                seen["memories"].add(memory)
    numbers = {Id.TIME, Id.WIDTH, Id.COUNT, Id.VALUE, Id.LOW, Id.HIGH, Id.STD, Id.SCORE}
    ways = {(column, mode) for column in numbers for mode in (Mode.SIGNED, Mode.UNSIGNED, Mode.MODELLED)}
    assert seen["modes"] >= ways | {(column, Mode.RARE) for column in (Id.WIDTH, Id.COUNT)}
    assert seen["modes"] >= {(Id.QUALITY, Mode.MODELLED), (Id.SCORE, Mode.FEW), (Id.QUALITY, Mode.FEW)}
    assert seen["modes"] >= {(column, Mode.BYTES) for column in (Id.REST, Id.SCORED, Id.PATCHES, Id.ORDER)}
    assert seen["modes"] >= {(column, Mode.BYTES) for column in (Id.REVISION, Id.UNCERTAIN, Id.BAD)}
    assert seen["windows"] >= {(mode, window) for mode in (1, 2) for window in BYTES_WINDOWS}
    assert seen["windows"] >= {(Mode.MODELLED, window) for window in MODEL_WINDOWS}
    assert seen["shapes"] >= {0, 1, 2, 3, 5, 7}
    assert seen["memories"] == {0, 1, 2}
    assert seen["late"] >= {0, 3, 16}


def test_the_error_for_an_unknown_profile_has_its_version() -> None:
    data, _ = golden("with-profile")
    with pytest.raises(UnknownProfileError) as error:
        codec.decode(data)
    assert error.value.version == PROFILE_VERSION


def test_an_unknown_column_is_skipped_only_if_it_is_optional() -> None:
    rows = json_rows(codec.unpack(with_column(aggregates(3), 99 | 0x80)))
    assert rows == json_rows(codec.unpack(codec.pack(aggregates(3))))
    with pytest.raises(FormatError, match="column 99"):
        codec.unpack(with_column(aggregates(3), 99))
