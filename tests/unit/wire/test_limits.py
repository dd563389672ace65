"""Each limit of the decoder: the value at the limit is accepted, and the next one is rejected."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from tests.contract.make_golden import aggregates, duty, readings
from tests.contract.test_strictness import altered
from wire import codec, container, directory, profile
from wire.aggregates import BYTES_SCORE_WINDOWS, SCORE_WINDOWS
from wire.codec import Coder, Kind
from wire.columns import Id, Mode
from wire.errors import FormatError, LimitError, ModelError
from wire.limits import MAX_ROWS
from wire.model import Aggregates, Anomalies, Anomaly, Notice, Phase, Readings, Series
from wire.model_coder.adaptive_model import State
from wire.model_coder.prediction import BETWEEN, SLOW, STEEPEST, is_model_window, is_window
from wire.model_coder.rans import Decoder
from wire.quantization import Form, Step, read_size
from wire.readings import BYTES_VALUE_WINDOWS, MODEL_VALUE_WINDOWS, VALUE_WINDOWS
from wire.reports import read_notice
from wire.rows import TIME_WINDOWS, Times, read_counts, read_patches
from wire.varint import Cursor, most_common, number, pack, pack_signed, signed

LAST = 2**63 - 1


def counts(*rows: int) -> np.ndarray:
    return read_counts(Cursor(pack_signed(np.diff(np.array(rows), prepend=0))), len(rows))


def test_the_rows_of_all_series_are_limited() -> None:
    assert counts(MAX_ROWS).tolist() == [MAX_ROWS]
    assert counts(MAX_ROWS - 1, 1, 0).tolist() == [MAX_ROWS - 1, 1, 0]
    for rows in ((MAX_ROWS + 1,), (MAX_ROWS, 1), (MAX_ROWS // 2 + 1, MAX_ROWS // 2), (-1,), (5, -1, 5)):
        with pytest.raises(LimitError, match="rows"):
            counts(*rows)


@pytest.mark.parametrize(("tick", "allowed"), [(0, False), (1, True), (LAST, True), (LAST + 1, False)])
def test_the_tick_of_times_is_positive_and_has_63_bits(tick: int, allowed: bool) -> None:
    cursor, none = Cursor(signed(0) + number(tick)), np.zeros(0, np.int64)
    if allowed:
        Times(cursor, none)
        return
    with pytest.raises(FormatError, match="tick"):
        Times(cursor, none)


@pytest.mark.parametrize(
    ("places", "problem"),
    [([0, 1, 2], ""), ([2], ""), ([], ""), ([0, 1, 2, 3], "4 for 3 rows"), ([3], "outside"), ([1, 3], "outside")],
)
def test_patches_are_of_rows_of_the_batch(places: list[int], problem: str) -> None:
    gaps = np.diff(np.array(places, np.int64), prepend=-1) - 1
    data = number(len(places)) + pack(gaps.astype(np.uint64)) + np.full(len(places), 7.0).tobytes()
    column = np.zeros(3)
    if problem:
        with pytest.raises(FormatError, match=problem):
            read_patches(Cursor(data), [column])
        return
    read_patches(Cursor(data), [column])
    assert column.tolist() == [7.0 if at in places else 0.0 for at in range(3)]
    with pytest.raises(FormatError, match="1 bytes are left"):
        read_patches(Cursor(data + b"x"), [column])


@pytest.mark.parametrize(("finer", "allowed"), [(0, True), (4, True), (5, False)])
def test_the_finer_unit_of_means_has_at_most_five_decimals_more(finer: int, allowed: bool) -> None:
    step = Step(Form.FOUND, 0.1, finer)
    data = directory.write(directory.directory((Series("a"),), (step,)))
    if allowed:
        assert directory.read(Cursor(data)).steps == (step,)
        return
    with pytest.raises(FormatError, match="finer 5"):
        directory.read(Cursor(data))


def test_a_directory_may_be_empty() -> None:
    assert directory.read(Cursor(directory.write(directory.directory((), ())))).series == ()


def test_the_mantissa_of_a_step_has_31_bits() -> None:
    assert read_size(Cursor(b"\x20" + number(2**31 - 1)), "step") == 2**31 - 1
    with pytest.raises(FormatError, match="mantissa"):
        read_size(Cursor(b"\x20" + number(2**31)), "step")


@pytest.mark.parametrize(("quality", "allowed"), [(0, True), (255, True), (-1, False), (256, False)])
def test_a_quality_is_a_byte(quality: int, allowed: bool) -> None:
    first = b"\0" + number(1) + number(0) + signed(quality)
    packed = altered(readings(20), {Id.QUALITY: (Mode.FEW, first)})
    if allowed:
        found = codec.unpack(packed)
        assert isinstance(found, Readings)
        assert sorted(found.quality.tolist())[-2:] == [0, quality]
        return
    with pytest.raises(FormatError, match="quality: outside 0 to 255"):
        codec.unpack(packed)


def test_the_levels_and_spreads_of_a_profile_have_62_bits() -> None:
    known = profile.learn(aggregates(6), 5)
    assert known.version == 5
    size = len(known.series)
    for level, allowed in ((2**62 - 1, True), (-(2**62) + 1, True), (2**62, False), (-(2**62), False)):
        states = {Id.VALUE: (State(level << 4, 0),) * size}
        data = profile.write(replace(known, states=states))
        if allowed:
            assert [state.level for state in profile.read(data).states[Id.VALUE]] == [level << 4] * size
            continue
        with pytest.raises(FormatError, match="level of more than 62 bits"):
            profile.read(data)
    assert profile._coarse(State(2**80, 0)).level == (2**62 - 1) << 4
    assert profile._coarse(State(-(2**80), 0)).level == -(2**62 - 1) << 4


@pytest.mark.parametrize("version", [0, 2**32 - 1])
def test_the_version_of_a_profile_has_32_bits(version: int) -> None:
    assert profile.read(profile.write(profile.learn(aggregates(2), version))).version == version
    for beyond in (-1, 2**32):
        with pytest.raises(ModelError, match="profile version"):
            profile.learn(aggregates(2), beyond)
    with pytest.raises(FormatError, match="profile version 4294967296"):
        profile.read(number(2**32) + profile.write(profile.learn(aggregates(2), 0))[1:])


@pytest.mark.parametrize("machines", [1, 2])
def test_a_profile_has_one_state_of_each_series_also_if_they_are_at_rest_at_times(machines: int) -> None:
    one = duty(60)
    rows = [replace(one, series=tuple(Series(f"m{at}/{known.name}") for known in one.series)) for at in range(machines)]
    known = profile.learn(Aggregates.concatenate(rows))
    assert len(known.series) == 2 * machines
    assert {len(states) for states in known.states.values()} == {len(known.series)}
    assert profile.read(profile.write(known)) == known


def test_a_profile_that_lacks_a_series_is_not_used() -> None:
    known = profile.learn(aggregates(2))
    assert known.select(known.series[::-1]) == list(range(len(known.series)))[::-1]
    assert known.select([*known.series, Series("unknown")]) is None


@pytest.mark.parametrize("data", [b"", b"abc", b"abcde"])
def test_coded_columns_are_a_state_and_whole_words(data: bytes) -> None:
    with pytest.raises(FormatError, match="must be even and at least 4"):
        Decoder(data)
    assert Decoder(b"abcdef").words == [0x6665]


def test_the_windows_of_the_model_are_those_of_the_columns_and_those_between_two_means() -> None:
    assert [is_window(one) for one in (-1, 0, STEEPEST, STEEPEST + 1, BETWEEN)] == [False, True, True, False, False]
    last = BETWEEN + 8 * len(SLOW) - 1
    found = [is_model_window(one) for one in (-1, 0, STEEPEST, STEEPEST + 1, BETWEEN - 1, BETWEEN, last, last + 1)]
    assert found == [False, True, True, False, False, True, True, False]


@pytest.mark.parametrize("numbers", [[0], [127], [128], [2**14 - 1, 2**14], [2**28 - 1, 2**28, 0], [2**63, 2**64 - 1]])
def test_a_column_of_numbers_of_any_width_is_restored(numbers: list[int]) -> None:
    values = np.array([*numbers, 1, *numbers], np.uint64)
    data = pack(values)
    assert data == b"".join(map(number, values.tolist()))
    cursor = Cursor(data + b"rest")
    assert cursor.column(len(values), "x").tolist() == values.tolist()
    assert cursor.left == 4


def test_a_number_of_a_column_has_at_most_64_bits() -> None:
    assert Cursor(b"\xff" * 9 + b"\x01").column(1, "x").tolist() == [2**64 - 1]
    for data in (b"\xff" * 9 + b"\x02", b"\xff" * 10 + b"\x01"):
        with pytest.raises(FormatError):
            Cursor(data).column(1, "x")


def test_the_most_common_value_is_the_smallest_on_a_tie_and_0_without_any() -> None:
    for values, expected in (([], 0), ([3, 3], 3), ([2, 1, 2, 1], 1), ([5, 7, 7], 7)):
        assert most_common(np.array(values, np.int64)) == expected


@pytest.mark.parametrize("value", [LAST, -LAST - 1, 0])
def test_the_numbers_of_a_notice_have_64_bits(value: int) -> None:
    notice = Notice(value, {"a": {"b": value, "c": 1}})
    assert codec.unpack(codec.pack(notice)) == notice
    for time_ms, counter in ((1, LAST + 1), (1, -LAST - 2), (LAST + 1, 1), (1, 1.5), (1, True), (1.0, 1), (1, None)):
        body = json.dumps({"time_ms": time_ms, "counters": {"a": {"b": counter, "c": 1}}})
        with pytest.raises(FormatError, match="64-bit integers"):
            read_notice(body.encode())


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_report_with_a_number_that_json_has_not_is_not_written(number: float) -> None:
    report = Anomaly("a", Phase.ONSET, 1, 2, 3.0, "shift", history=(1.0, 2.0))
    assert codec.unpack(codec.pack(Anomalies((report,)))) == Anomalies((report,))
    for damaged in (replace(report, score=number), replace(report, history=(1.0, number))):
        with pytest.raises(ModelError, match="cannot be written as JSON"):
            codec.pack(Anomalies((damaged,)))


@pytest.mark.parametrize("kind", [Kind.ANOMALIES, Kind.NOTICE])
def test_reports_have_neither_a_model_nor_a_profile(kind: Kind) -> None:
    for packed in (
        container.pack(kind, Coder.MODEL, 2, b"[]"),
        container.pack(kind, Coder.NONE, 2, b"[]", profile=1),
    ):
        with pytest.raises(FormatError, match="neither rows nor reports"):
            codec.unpack(packed)


def test_all_windows_that_the_encoder_tries_are_valid() -> None:
    outside = (*VALUE_WINDOWS, *BYTES_VALUE_WINDOWS, *SCORE_WINDOWS, *BYTES_SCORE_WINDOWS, *TIME_WINDOWS)
    assert all(map(is_window, outside))
    assert all(map(is_model_window, MODEL_VALUE_WINDOWS))


def test_each_number_of_late_rows_is_tried_with_a_profile() -> None:
    rows = aggregates(4)
    known = profile.learn(rows)
    opened = [codec.open_rows(container.unpack(one), lambda _: known) for one in codec._pack_known(rows, known)]
    assert [one.reader.late for one in opened] == [0, 1, 2, 3]


def test_content_that_repeats_beyond_the_dictionary_of_the_reader_is_restored() -> None:
    content = np.random.default_rng(1).bytes(70_000) * 2
    for coder in (Coder.DEFLATE, Coder.LZMA1):
        assert container.inflate(coder, len(content), container.PACK[coder](content)) == content


def test_a_mean_is_rounded_to_a_tenth_of_the_step_without_a_patch() -> None:
    n = 16
    low, one = 20.0 + np.arange(n), np.ones(n, np.int64)
    columns = (low + 0.25, low, low + 1.0, np.full(n, 0.25), np.full(n, np.nan))
    rows = Aggregates(
        (Series("a", "", 1.0),), np.zeros(n, np.int64), 1000 * np.arange(n), 1000 * one, 10 * one, *columns
    )
    opened = codec.open_rows(container.unpack(codec.pack(rows)))
    assert Id.PATCHES not in opened.reader.entries
    assert isinstance(opened.rows, Aggregates)
    assert opened.rows.mean.tolist() == [at + 0.2 for at in range(20, 20 + n)]
