"""Fixtures of the tests of the cloud."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest

from cloud_functions.core import columns, rollup
from wire import codec


@pytest.fixture(scope="module")
def decoded_once() -> Iterator[None]:
    """Decode the same bytes once, for tests that read the same batches and roll-ups thousands of times.

    For batches without a profile, whose decoded rows depend on the bytes alone; rows are not changed in place.
    """
    batch, rows = functools.lru_cache(10_000)(codec.decode), functools.lru_cache(10_000)(columns.decode_rows)

    def decode(data: bytes, *_: Any) -> Any:
        return batch(bytes(data))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "decode", decode)
        patch.setattr(rollup, "decode_rows", rows)
        yield
