"""Numbers of examples of the property tests, in proportion to the profile of Hypothesis (see tests/conftest.py)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import settings

USUAL, FEW, MANY = 40, 8, 1_000
"""Examples of a test without a number of its own, in the profiles ``strandline``, ``fast`` and ``thorough``."""
MIN_EXAMPLES = 4


def examples(number: int) -> int:
    """Return the number of examples in the loaded profile for a test that usually has ``number``."""
    return max(MIN_EXAMPLES, number * settings().max_examples // USUAL)


def some_slow(values: Iterable[Any], fast: int = 4) -> list[Any]:
    """Return parameters of a test, such as its seeds; those after the first ``fast`` are slow tests."""
    return [pytest.param(value, marks=[pytest.mark.slow] if at >= fast else []) for at, value in enumerate(values)]
