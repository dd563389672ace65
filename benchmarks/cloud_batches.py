"""Batches of a simulated gateway for benchmarks/cloud.py: measured values of 100 series, six windows a batch."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from cloud_functions.core.arrival import write_envelope
from cloud_functions.costs.fleet_cost import BATCH_SERIES, BATCH_WINDOWS
from wire import codec, profile
from wire.model import Aggregates, Batch, Series
from wire.profile import Profile

START_MS = 1_790_000_000_000 // 3_600_000 * 3_600_000
WINDOW_MS = 10_000
_CHANNELS = (
    ("temperature", "Cel", 0.1),
    ("pressure", "bar", 0.01),
    ("vibration", "mm/s", 0.01),
    ("flow", "l/min", 0.1),
    ("current_a", "A", 0.01),
    ("voltage", "V", 0.1),
    ("power", "W", 1.0),
    ("humidity", "%RH", 0.1),
    ("rpm", "1/min", 1.0),
    ("level", "m", 0.001),
)


@lru_cache(maxsize=8)
def series_of(count: int) -> tuple[Series, ...]:
    """Return the series of a gateway: ten channels a device."""
    return tuple(
        Series(f"line-{at // 10:02d}.{name}", unit, resolution)
        for at in range(count)
        for name, unit, resolution in [_CHANNELS[at % 10]]
    )


def rows(minute: int, series: int = BATCH_SERIES, windows: int = BATCH_WINDOWS, seed: int = 1) -> Aggregates:
    """Return the rows of one batch: ten readings a window of slowly changing signals with noise."""
    rng = np.random.default_rng((seed, minute))
    directory = series_of(series)
    n = series * windows
    index = np.tile(np.arange(series), windows)
    resolution = np.array([one.resolution or 1.0 for one in directory])[index]
    at = minute * windows + np.repeat(np.arange(windows), series)
    level = 300 + 40 * np.sin(at / 90.0 + index)
    readings = np.rint(level[:, None] + rng.normal(0, 3, (n, 10))) * resolution[:, None]
    return Aggregates(
        directory,
        index,
        START_MS + at.astype(np.int64) * WINDOW_MS,
        np.full(n, WINDOW_MS, np.int64),
        np.full(n, 10, np.int64),
        readings.mean(axis=1),
        readings.min(axis=1),
        readings.max(axis=1),
        readings.std(axis=1),
        np.abs(rng.normal(0, 0.2, n)),
    )


@lru_cache(maxsize=1)
def known_profile() -> Profile:
    """Return the profile that a gateway has sent before its batches."""
    return profile.learn(rows(0))


@lru_cache(maxsize=256)
def packed(minute: int) -> bytes:
    """Return the packed rows of a minute, encoded against the profile as the forwarder does."""
    return codec.shorten(codec.pack(rows(minute)), known_profile())


@lru_cache(maxsize=1)
def small_profile() -> Profile:
    """Return the profile of :func:`small`."""
    return profile.learn(rows(0, 2, 1))


@lru_cache(maxsize=1024)
def small(minute: int) -> bytes:
    """Return the packed rows of the first window of a minute, of two series, encoded against their profile."""
    return codec.shorten(codec.pack(rows(minute * BATCH_WINDOWS, 2, 1)), small_profile())


def data(gateway: str, epoch: int, sequence: int, minute: int) -> bytes:
    """Return a batch of a gateway as it is sent."""
    return codec.seal(gateway, epoch, sequence, packed(minute))


def body(batch: bytes, gateway: str, received_ms: int) -> str:
    """Return the message that the topic rule puts into the queue."""
    return write_envelope(batch, gateway, "bulk", received_ms, client=gateway, principal="0" * 64)


def decoded(minute: int) -> Aggregates:
    """Return the rows as a reader decodes them from the batch."""
    batch: Batch = codec.decode(data("g", 1, 1, minute), lambda *_: known_profile())
    assert isinstance(batch.rows, Aggregates)  # noqa: S101 - it was encoded above
    return batch.rows
