"""Profiles on the gateway: learned, sent rarely, used once the cloud has them, and not required for any batch."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_components.common.health import Counters
from edge_components.forwarder.profiles import BATCHES_BETWEEN, MAX_ATTEMPTS, Profiles
from tests.unit.forwarder.test_component import BULK, EPOCH, Rig
from wire import codec, topics
from wire.acknowledgement import Acknowledgement
from wire.codec import Kind, Profile
from wire.errors import UnknownProfileError
from wire.model import Aggregates, Batch, Series

SENSORS = 40
LOG = logging.getLogger("test")


def window(number: int, sensors: int = SENSORS, seed: int = 1) -> Aggregates:
    """One window of many sensors."""
    rng = np.random.default_rng([seed, number])
    level = 200 + 10 * np.arange(sensors)
    raw = np.round(level[:, None] + rng.normal(0, 3, (sensors, 10)))
    n = np.full(sensors, 10)
    series = tuple(Series(f"line-{i // 8}.sensor-{i % 8}", "l/min", 0.1) for i in range(sensors))
    times = np.full(sensors, 1_700_000_000_000 + 10_000 * number)
    columns = (raw.mean(1) / 10, raw.min(1) / 10, raw.max(1) / 10, raw.std(1) / 10, rng.gamma(2, 0.2, sensors))
    return Aggregates(series, np.arange(sensors), times, 1000 * n, n, *columns)


class Cloud:
    """Simulated cloud of a rig's forwarder, with the rows that it has stored."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.profiles = rig, dict[int, Profile]()
        self.rows: dict[int, Aggregates] = {}
        self.sizes: list[int] = []
        self.read = 0

    def answer(self, delivered: bool = True) -> None:
        """Receive the new publications, and acknowledge the stored batches if ``delivered``."""
        held, unknown = set(self.rows) | {0}, set()
        for where, data in self.rig.bus.sent[self.read :]:
            assert where == BULK
            _, epoch, sequence = codec.name_of(data)
            assert epoch == EPOCH
            self.sizes.append(len(data))
            if codec.kind_of(data) is Kind.PROFILE:
                known = codec.decode_profile(data)[1]
                self.profiles[known.version] = known
                self.rows.setdefault(sequence, window(0).take(slice(0, 0)))
                continue
            try:
                rows = codec.decode(data, lambda _, version: self.profiles.get(version)).rows
            except UnknownProfileError as error:
                unknown.add(error.version)
                continue
            assert isinstance(rows, Aggregates)
            self.rows[sequence] = rows
        self.read = len(self.rig.bus.sent)
        held = set(self.rows)
        cumulative = next(n for n in range(10**6) if n + 1 not in held)
        ranges = tuple((n, n) for n in sorted(held) if n > cumulative)
        ack = Acknowledgement(EPOCH, cumulative, ranges, tuple(unknown))
        if delivered:
            self.rig.bus.deliver_from_core(topics.ack("gw-test"), ack.encode())

    @property
    def means(self) -> list[float]:
        return sorted(mean for rows in self.rows.values() for mean in rows.mean.tolist())


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path, profile_interval_s=300.0)
    yield rig
    rig.kill()


def run(rig: Rig, cloud: Cloud, first: int, count: int, delivered: bool = True) -> None:
    """Offer ``count`` windows, each of which forms a batch."""
    for number in range(first, first + count):
        rig.offer(number, window(number))
        rig.tick()
        rig.tick(10.0)
        cloud.answer(delivered)


def expected(count: int) -> list[float]:
    rows = [codec.decode(codec.encode(Batch("gw", 1, 1, window(n)))).rows for n in range(1, count + 1)]
    return sorted(mean for one in rows if isinstance(one, Aggregates) for mean in one.mean.tolist())


@pytest.mark.slow
def test_profile_is_sent_when_it_saves_enough_bytes(rig: Rig) -> None:
    cloud = Cloud(rig)
    run(rig, cloud, 1, 20)
    counters = rig.runtime.counters
    assert counters["profiles_sent"] == len(cloud.profiles) == 1
    assert counters["batches_by_profile"] == 20 - BATCHES_BETWEEN
    alone = [len(codec.encode(Batch("gw-test", EPOCH, n, window(n)))) for n in range(1, 21)]
    assert sum(cloud.sizes[-10:]) < 0.75 * sum(alone[-10:])
    assert counters["bytes_saved_by_profile"] > 0
    assert cloud.means == expected(20)
    assert rig.waiting() == 0


@pytest.mark.slow
def test_a_profile_is_not_used_before_the_cloud_has_acknowledged_it(rig: Rig) -> None:
    cloud = Cloud(rig)
    run(rig, cloud, 1, 20, delivered=False)
    assert rig.runtime.counters["profiles_sent"] == 1
    assert rig.runtime.counters["batches_by_profile"] == 0
    assert cloud.means == expected(20)


@pytest.mark.slow
def test_the_next_profile_is_sent_after_its_interval_if_the_series_have_changed(rig: Rig) -> None:
    cloud = Cloud(rig)
    run(rig, cloud, 1, 20)
    assert rig.runtime.counters["profiles_sent"] == 1
    for number in range(21, 80):  # more sensors: the old profile is of no use
        rig.offer(number, window(number, sensors=SENSORS + 8))
        rig.tick()
        rig.tick(10.0)
        cloud.answer()
        if rig.runtime.counters["profiles_sent"] > 1:
            break
    assert 38 <= number < 60
    by_profile = rig.runtime.counters["batches_by_profile"]
    rig.offer(200, window(200, sensors=SENSORS + 8))
    rig.tick()
    rig.tick(10.0)
    assert rig.runtime.counters["batches_by_profile"] == by_profile + 1


@pytest.mark.slow
def test_series_that_a_profile_describes_well_enough_get_no_second_one(rig: Rig) -> None:
    cloud = Cloud(rig)
    run(rig, cloud, 1, 50)
    assert rig.runtime.counters["profiles_sent"] == 1


@pytest.mark.slow
def test_a_cloud_that_lost_the_profile_gets_it_again_and_every_row(rig: Rig) -> None:
    cloud = Cloud(rig)
    run(rig, cloud, 1, 20)
    cloud.profiles.clear()
    run(rig, cloud, 21, 1)
    assert rig.runtime.counters["profiles_unknown_to_the_cloud"] == 1
    run(rig, cloud, 22, 5)
    assert rig.runtime.counters["profiles_sent"] == 2
    assert cloud.means == expected(26)
    assert rig.waiting() == 0
    short = rig.runtime.counters["batches_by_profile"]
    run(rig, cloud, 27, 1)
    assert rig.runtime.counters["batches_by_profile"] == short + 1


@pytest.mark.slow
def test_batch_is_repeated_complete_after_a_lost_acknowledgement(rig: Rig) -> None:
    cloud = Cloud(rig)
    run(rig, cloud, 1, 20)
    cloud.profiles.clear()
    run(rig, cloud, 21, 1, delivered=False)
    rig.tick(10.0)
    cloud.answer()
    assert cloud.means == expected(21)
    assert rig.waiting() == 0


@pytest.mark.slow
def test_a_profile_that_the_cloud_never_stores_is_sent_a_limited_number_of_times(rig: Rig) -> None:
    cloud = Cloud(rig)
    for number in range(1, 30):
        run(rig, cloud, number, 1)
        cloud.profiles.clear()
    assert rig.runtime.counters["profiles_sent"] == 1 + MAX_ATTEMPTS
    assert cloud.means == expected(29)


@pytest.mark.slow
def test_no_profile_is_named_after_a_restart_until_it_is_acknowledged(rig: Rig) -> None:
    cloud = Cloud(rig)
    run(rig, cloud, 1, 12)
    rig.offer(13, window(13))
    rig.tick()
    rig.tick(10.0)  # sent by profile, and not answered
    rig.kill()
    rig.boot()
    cloud.read, cloud.profiles = 0, {}
    rig.tick()
    assert [codec.decode(data).sequence for _, data in rig.bus.sent] == [14]


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"profile_interval_s": 0.0}, {"ack": "nucleus"}])
def test_profiles_can_be_switched_off(tmp_path: Path, options: dict[str, object]) -> None:
    rig = Rig(tmp_path, **options)
    cloud = Cloud(rig)
    run(rig, cloud, 1, 20)
    assert rig.runtime.counters["profiles_sent"] == 0
    assert cloud.means == expected(20)
    rig.kill()


@pytest.mark.slow
def test_a_reconfiguration_keeps_the_profile(rig: Rig) -> None:
    cloud = Cloud(rig)
    run(rig, cloud, 1, 12)
    rig.forwarder.reconfigure(rig.config)
    run(rig, cloud, 13, 4)
    assert rig.runtime.counters["profiles_sent"] == 1
    assert rig.runtime.counters["batches_by_profile"] == 16 - BATCHES_BETWEEN


@pytest.mark.slow
def test_no_profile_is_sent_for_batches_that_are_full() -> None:
    """A batch of twenty windows of four series contains all that a profile could add."""
    counters = Counters()
    profiles = Profiles(60.0, 4_900, counters, LOG)
    for number in range(0, 20 * 20, 20):
        rows = Aggregates.concatenate([window(number + n, sensors=4) for n in range(20)])
        assert profiles.formed(rows, codec.pack(rows), 60.0 * number) is None
    assert counters["profiles_learned"] == 0


def test_a_profile_that_fits_no_batch_is_not_made() -> None:
    counters = Counters()
    profiles = Profiles(1e6, 100, counters, LOG)
    for number in range(12):
        rows = window(number)
        assert profiles.formed(rows, codec.pack(rows), 10.0 * number) is None
    assert counters["profiles_too_large"] == 1


@pytest.mark.slow
def test_a_profile_is_learned_from_the_newest_rows() -> None:
    profiles = Profiles(1e6, 4_900, Counters(), LOG)
    for number in range(0, 3_000, 100):
        rows = Aggregates.concatenate([window(number + n, sensors=2) for n in range(100)])
        profiles.formed(rows, codec.pack(rows, coders=codec.FAST), 10.0 * number)
    assert sum(map(len, profiles._recent)) <= 2 * 12 * 2
