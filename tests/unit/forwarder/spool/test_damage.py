"""Bits flipped in the files of a killed forwarder: each batch is recovered unchanged, or its rows are counted."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from edge_components.forwarder.spool.entries import ReceivedBatch
from edge_components.forwarder.spool.recovery import open_spool
from edge_components.forwarder.spool.spool import Spool
from tests.examples import some_slow
from wire import codec
from wire.acknowledgement import Acknowledgement
from wire.limits import MAX_LOCAL_BYTES
from wire.model import Aggregates, Batch, Series
from wire.topics import Lane

SENDERS = (7, 8, 9)
NAME = "spool.sqlite3"
MAX_FLIPS = 8
Rows = Counter[int]


@dataclass
class Truth:
    """Expected content of a spool: rows by their identity, in each place where they can be."""

    pending: dict[Lane, list[int]] = field(default_factory=lambda: {lane: [] for lane in Lane})
    unsent: dict[int, tuple[bytes, list[int]]] = field(default_factory=dict)
    sent: dict[tuple[int, int], tuple[bytes, list[int]]] = field(default_factory=dict)
    held: dict[int, int] = field(default_factory=dict)
    numbers: int = 0
    losses: Counter[str] = field(default_factory=Counter)

    def rows(self) -> Rows:
        """Return all rows that the spool must keep."""
        found: Rows = Counter()
        for rows in self.pending.values():
            found.update(rows)
        for _, rows in (*self.unsent.values(), *self.sent.values()):
            found.update(rows)
        return found


def payload(sender: int, sequence: int, identities: list[int]) -> bytes:
    """Encode rows whose start times are their identities."""
    n = len(identities)
    value = np.round(np.random.default_rng(sequence).normal(size=n), 3)
    columns = (value, value, value, np.zeros(n), np.full(n, np.nan))
    starts, widths = np.array(identities, np.int64) * 1000, np.full(n, 1000)
    rows = Aggregates(
        (Series("a", "Cel", 0.001),), np.zeros(n, np.int64), starts, widths, np.ones(n, np.int64), *columns
    )
    return codec.encode(Batch("gw", sender, sequence, rows), MAX_LOCAL_BYTES, coders=codec.FAST)


class Driver:
    """Random operations on a spool like those of the forwarder, with the expected content."""

    def __init__(self, path: Path, seed: int) -> None:
        self.rng, self.truth, self.spool = random.Random(seed), Truth(), open_spool(path, 1, 50_000_000, 1)
        self._next = 1

    def step(self) -> None:
        self.rng.choice((self.store, self.store, self.store, self.put, self.put, self.number, self.free, self.demote))()

    def store(self) -> None:
        arrivals, taken = [], []
        for _ in range(self.rng.randint(1, 2)):
            sender, lane = self.rng.choice(SENDERS), self.rng.choice((Lane.BULK, Lane.BULK, Lane.BULK, Lane.URGENT))
            identities = list(range(self._next, self._next + self.rng.randint(1, 60)))
            self._next = identities[-1] + 1
            sequence = self.truth.held.get(sender, 0) + 1
            if any(arrival.epoch == sender for arrival in arrivals):
                continue
            arrivals.append(
                ReceivedBatch(sender, sequence, lane, len(identities), payload(sender, sequence, identities))
            )
            taken.append((sender, sequence, lane, identities))
        self.spool.store(arrivals)
        for sender, sequence, lane, identities in taken:
            self.truth.held[sender] = sequence
            self.truth.pending[lane] += identities

    def put(self) -> None:
        lane = self.rng.choice((Lane.BULK, Lane.BULK, Lane.URGENT))
        rows = self.truth.pending[lane]
        if rows:
            used = self.rng.randint(1, len(rows))
            body = self.rng.randbytes(self.rng.choice((30, 300, 3000, 4900)))
            key = self.spool.put(lane, body, used, used, 0)
            self.truth.unsent[key] = (body, rows[:used])
            del rows[:used]

    def number(self) -> None:
        lane = self.rng.choice((Lane.BULK, Lane.URGENT))
        for batch in self.spool.number(self.spool.unsent(lane, self.rng.randint(1, 3))):
            self.truth.sent[batch.epoch, batch.sequence] = self.truth.unsent.pop(batch.id)
            self.truth.numbers = batch.sequence

    def free(self) -> None:
        if self.truth.sent:
            number = self.rng.choice(list(self.truth.sent))[1]
            first = min(n for _, n in self.truth.sent)
            top = number if self.rng.random() < 0.5 else first
            self.spool.free(Acknowledgement(1, top))
            for name in [name for name in self.truth.sent if name[1] <= top]:
                del self.truth.sent[name]

    def demote(self) -> None:
        self.spool.demote(keep=self.rng.randint(0, 3))


def kill(path: Path, into: Path) -> Path:
    """Copy the files after a kill -9."""
    shutil.copytree(path.parent, into)
    return into / path.name


def used(file: Path) -> int:
    """Return the bytes of a file without the zeros at its end."""
    return len(file.read_bytes().rstrip(b"\0"))


def flip(folder: Path, rng: random.Random, alone: bool) -> list[str]:
    """Flip up to 8 bits, in one file or anywhere (but not in the zeros of preallocated files); return which."""
    files = sorted(file for file in folder.iterdir() if used(file) and not file.name.endswith("-shm"))
    one = rng.choice(files)
    places = []
    for _ in range(rng.randint(1, MAX_FLIPS)):
        file = one if alone else rng.choices(files, [used(file) for file in files])[0]
        data = bytearray(file.read_bytes())
        at = rng.randrange(used(file))
        data[at] ^= 1 << rng.randrange(8)
        file.write_bytes(data)
        places.append(f"{file.name}@{at}")
    return places


def check(spool: Spool, truth: Truth) -> Counter[str]:
    """Compare the spool with its expected content and return the losses that it reports."""
    losses = Counter(spool.losses())
    found: Rows = Counter()
    pending: dict[Lane, list[int]] = {lane: [] for lane in Lane}
    for row in spool.pending():
        rows = codec.decode(row.payload).rows
        assert isinstance(rows, Aggregates)
        found.update((rows.start_ms[row.used :] // 1000).tolist())
        pending[row.lane] += (rows.start_ms[row.used :] // 1000).tolist()
    for lane, seconds in pending.items():
        assert seconds == [one for one in truth.pending[lane] if one in set(seconds)], "in another order"
    by_body = dict((*truth.unsent.values(), *truth.sent.values()))
    for key in spool.sent():
        batch = spool.get(key)
        assert batch is not None
        assert truth.sent[batch.epoch, batch.sequence][0] == batch.body, "a number names another content"
        found.update(by_body[batch.body])
    for lane in Lane:
        for batch in spool.unsent(lane, 10_000):
            assert batch.body in by_body, "a payload came back damaged"
            found.update(by_body[batch.body])
    wanted = truth.rows()
    assert not found - wanted, f"twice or never there: {found - wanted}"
    missing = (wanted - found).total()
    counted = sum(number for reason, number in losses.items() if reason.startswith("dropped_rows_"))
    assert counted == missing, f"{missing} rows are gone, {counted} are counted: {dict(losses)}"
    for sender, highest in truth.held.items():
        assert spool.acknowledgement(sender).cumulative == highest, "what was taken in of a sender"
        assert not spool.holds(sender, highest + 1)
    for again in spool.number(spool.unsent(Lane.BULK, 1)):
        assert (again.epoch, again.sequence) > (1, truth.numbers), "a number that was given is given again"
    return losses


def run(tmp: Path, seed: int, alone: bool, steps: int = 60) -> tuple[bool, Counter[str]]:
    rng = random.Random(seed)
    (tmp / "alive").mkdir()
    driver = Driver(tmp / "alive" / NAME, seed)
    for _ in range(rng.randint(3, steps)):
        driver.step()
        if rng.random() < 0.05:
            driver.spool.close()
            driver.spool = open_spool(tmp / "alive" / NAME, 1, 50_000_000, 1)
        elif rng.random() < 0.05:
            driver.spool.fold()
    path = kill(tmp / "alive" / NAME, tmp / "dead")
    driver.spool.close()
    places = flip(path.parent, rng, alone)
    try:
        spool = open_spool(path, 2, 50_000_000, 5)
        losses = check(spool, driver.truth)
    except Exception as error:
        raise AssertionError(f"seed {seed}, {places}: {type(error).__name__}: {error}") from error
    damaged = spool.epoch != 1
    spool.close()
    return damaged, losses


@pytest.mark.parametrize("seed", some_slow(range(12), fast=2))
def test_losses_by_bits_flipped_in_one_file_are_counted_to_the_row(tmp_path: Path, seed: int) -> None:
    run(tmp_path, seed, alone=True)


@pytest.mark.parametrize("seed", some_slow(range(1000, 1012), fast=2))
def test_losses_by_bits_flipped_in_all_files_are_counted_to_the_row(tmp_path: Path, seed: int) -> None:
    run(tmp_path, seed, alone=False)
