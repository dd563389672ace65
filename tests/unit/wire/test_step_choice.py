"""Steps that are found for many series at once are those that are found for each alone."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wire.quantization import BITS, LARGEST, Form, Step, choose, choose_all, split

Row = tuple[float, float, float]

numbers = st.one_of(
    st.integers(-(10**6), 10**6).map(lambda whole: whole / 100),
    st.integers(-(10**9), 10**9).map(float),
    st.integers(-400, 400).map(lambda whole: float(np.float32(whole / 10))),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, -0.0, 20.0, 24.0, 2.0**49, 1e300]),
)
row = st.tuples(numbers, numbers, numbers)
series = st.tuples(st.sampled_from([None, None, 0.1, 0.25]), st.lists(row, max_size=4))


def one_by_one(low: list[float], high: list[float], mean: list[float]) -> Step:
    """Return the step of one series as FORMAT.md describes it, a value after the other."""
    values = [value for value in (*low, *high) if math.isfinite(value)]
    for form in (Form.FOUND, Form.SINGLE) if values else ():
        for places in range(10):
            scale = float(10**places)
            if all(is_multiple(value, scale, form) for value in values):
                common = math.gcd(*(abs(int(np.rint(value * scale))) for value in values)) or 1
                size = common / scale if common < 2**31 else 1 / scale
                size = size if split(size)[1] <= scale else 1 / scale
                return Step(form, size, finer(size, [one for one in mean if math.isfinite(one)]))
    return BITS


def is_multiple(value: float, scale: float, form: Form) -> bool:
    with np.errstate(all="ignore"):
        whole = np.rint(np.float64(value) * scale)
        back = whole / scale
        back = np.float64(np.float32(back)) if form is Form.SINGLE else back
    return bool(abs(whole) < LARGEST / 10 and back == value)


def finer(size: float, means: list[float]) -> int:
    multiplier, divisor = split(size)
    for places in range(5):
        parts = divisor * 10 ** (1 + places)
        with np.errstate(all="ignore"):
            whole = np.rint(np.array(means) * parts / multiplier)
            if (np.abs(whole) < LARGEST).all() and (whole * multiplier / parts == np.array(means)).all():
                return places
    return 0


@given(st.lists(series, min_size=1, max_size=6))
def test_steps_of_many_series_are_those_of_each_alone(
    given_: list[tuple[float | None, list[tuple[float, ...]]]],
) -> None:
    index = np.repeat(np.arange(len(given_)), [len(rows) for _, rows in given_])
    table = np.array([cells for _, rows in given_ for cells in rows]).reshape(-1, 3)
    low, high, mean = table.T
    found = choose_all([size for size, _ in given_], index, [low, high], mean)
    for at, (size, rows) in enumerate(given_):
        mine = index == at
        if found[at].form is Form.RESOLUTION:
            assert found[at].size == size
            continue
        assert found[at] == one_by_one(low[mine].tolist(), high[mine].tolist(), mean[mine].tolist())
        assert choose(np.concatenate([low[mine], high[mine]]), mean[mine]) == found[at]
        assert rows or found[at] is BITS


def test_a_step_is_the_largest_common_one() -> None:
    assert choose(np.array([20.0, 24.0])) == Step(Form.FOUND, 4.0)
    assert choose(np.array([0.5, 0.75, 1.0])) == Step(Form.FOUND, 0.25)
    assert choose(np.array([np.nan, np.inf])) is BITS
    assert choose(np.array([0.0, 0.0])) == Step(Form.FOUND, 1.0)
