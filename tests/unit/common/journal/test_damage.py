"""Bits flipped in one file cause no loss; if both images are damaged, the loss is reported with its weight."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from edge_components.common.journal import Journal, Lost, Record, frame
from edge_components.common.journal.frame import HEADER_BYTES
from edge_components.common.journal.recovery import recover
from tests.unit.common.journal.disk import FakeDisk

FOLDER = Path("journal")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments grow by little, so that a run allocates often and its images are quick to read."""
    monkeypatch.setattr("edge_components.common.journal.journal.CHUNK_BYTES", 512)


def a_run(chance: random.Random, steps: int, snapshots: float = 0.1) -> tuple[FakeDisk, list[bytes]]:
    disk, state = FakeDisk(), []
    journal, _ = Journal.open(FOLDER, disk)
    for _ in range(steps):
        body = chance.randbytes(chance.randint(1, 2000))
        journal.append(1, body, weight=1)
        state.append(body)
        if chance.random() < snapshots:
            journal.snapshot(b"|".join(body.hex().encode() for body in state), weight=len(state))
        else:
            journal.commit()
    return disk.killed(), state


def found(disk: FakeDisk) -> tuple[list[bytes], list[Lost], int]:
    _, recovered = Journal.open(FOLDER, disk)
    state = [bytes.fromhex(part.decode()) for part in recovered.snapshot.split(b"|")] if recovered.snapshot else []
    state += [record.body for record in recovered.records if isinstance(record, Record)]
    return state, [record for record in recovered.records if isinstance(record, Lost)], recovered.repaired


def flip(chance: random.Random, data: bytearray, bits: int) -> None:
    for _ in range(bits):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


@pytest.mark.parametrize("seed", range(60))
def test_bits_flipped_in_one_of_the_files_cost_nothing(seed: int) -> None:
    chance = random.Random(seed)
    disk, state = a_run(chance, chance.randint(1, 60))
    name = chance.choice(sorted(disk.cached))
    written = len(disk.cached[name].rstrip(b"\0"))
    hit = disk.cached[name][:written]
    flip(chance, hit, chance.randint(1, 8))
    disk.cached[name][:written] = hit
    assert found(disk)[:2] == (state, [])


@pytest.mark.parametrize("seed", range(20))
def test_a_missing_or_invalid_file_of_two_causes_no_loss(seed: int) -> None:
    chance = random.Random(seed)
    disk, state = a_run(chance, 40)
    name = chance.choice(sorted(disk.cached))
    if seed % 2:
        del disk.cached[name]
    else:
        disk.cached[name][:] = chance.randbytes(len(disk.cached[name]))
    assert found(disk)[:2] == (state, [])


@pytest.mark.parametrize("replica", [False, True])
def test_damage_is_repaired_by_the_first_commit(replica: bool) -> None:
    disk, state = a_run(random.Random(5), 12, snapshots=0)
    name = "segment-0-replica" if replica else "segment-0"
    whole = bytes(disk.cached[name])
    for at in (3, 50, 2000, 6000):
        disk.cached[name][at] ^= 4
    assert found(disk)[2] >= 2
    journal, _ = Journal.open(FOLDER, disk)
    journal.commit()
    assert bytes(disk.cached[name]) == whole
    assert found(disk) == (state, [], 0)


@pytest.mark.parametrize("at", [3, 20, HEADER_BYTES + 3])
@pytest.mark.parametrize("name", ["segment-0", "segment-0-replica"])
def test_a_header_or_a_body_that_is_damaged_in_one_image_is_repaired_alone(name: str, at: int) -> None:
    disk, state = a_run(random.Random(5), 3, snapshots=0)
    whole = bytes(disk.cached[name])
    disk.cached[name][at] ^= 4
    assert found(disk) == (state, [], 1)
    journal, _ = Journal.open(FOLDER, disk)
    journal.commit()
    assert bytes(disk.cached[name]) == whole


@pytest.mark.parametrize("damaged", [0, 1])
def test_of_two_frames_of_one_number_the_undamaged_one_is_used(damaged: int) -> None:
    records = [frame.encode(frame.pack_records([Record(1, b"%d" % n)]), n, n, 1) for n in (1, 2)]
    broken = records[1][:-1] + b"?"
    frames = [records[0] + records[1], records[1]]
    frames[damaged] = frames[damaged].replace(records[1], broken)
    recovered, position = recover({number: (image, image) for number, image in enumerate(frames)})
    assert list(recovered.records) == [Record(1, b"1"), Record(1, b"2")]
    assert (position.sequence, position.total) == (2, 2)


def test_a_replica_that_is_behind_after_a_power_cut_is_completed() -> None:
    disk, state = a_run(random.Random(5), 12, snapshots=0)
    disk = disk.cut({})
    assert not any(disk.cached["segment-0-replica"])
    assert found(disk) == (state, [], 0)
    journal, _ = Journal.open(FOLDER, disk)
    journal.commit()
    assert disk.cached["segment-0-replica"] == disk.cached["segment-0"]


def test_a_record_damaged_in_both_images_is_a_loss_of_its_weight_and_the_rest_is_there() -> None:
    disk, state = a_run(random.Random(5), 12, snapshots=0)
    offset = disk.cached["segment-0"].find(state[4][-8:])
    if offset < 0:
        pytest.fail("random bytes are stored as they are")
    for name in disk.cached:
        disk.cached[name][offset] ^= 1
    kept, lost, _ = found(disk)
    assert kept == state[:4] + state[5:]
    assert lost == [Lost(1)]


def test_the_last_record_damaged_in_both_images_is_a_loss_and_one_torn_before_its_commit_is_not() -> None:
    disk, state = a_run(random.Random(5), 12, snapshots=0)
    offset = disk.cached["segment-0"].find(state[-1][-8:])
    disk.cached["segment-0"][offset] ^= 1
    disk.cached["segment-0-replica"][offset] ^= 1
    assert found(disk)[:2] == (state[:-1], [Lost(1)])
    journal, _ = Journal.open(FOLDER, disk)
    journal.append(1, b"next", weight=1)
    journal.commit()
    assert found(disk)[:2] == ([*state[:-1], b"next"], [Lost(1)])


def test_a_snapshot_damaged_in_both_images_is_made_again_from_the_one_before() -> None:
    disk = FakeDisk()
    journal, _ = Journal.open(FOLDER, disk)
    for body in (b"one", b"two", b"three", b"four"):
        journal.append(1, body, weight=1)
        journal.commit()
        if body == b"two":
            journal.snapshot(b"|".join([b"one".hex().encode(), b"two".hex().encode()]), weight=2)
    for name in ("segment-1", "segment-1-replica"):
        disk.cached[name][50] ^= 1
    assert found(disk)[:2] == ([b"one", b"two", b"three", b"four"], [])
    journal, _ = Journal.open(FOLDER, disk)
    journal.snapshot(b"|".join(body.hex().encode() for body in (b"one", b"two", b"three", b"four")), weight=4)
    assert found(disk)[:2] == ([b"one", b"two", b"three", b"four"], [])
    journal.snapshot(b"5f")
    assert sorted(disk.cached) == ["segment-0", "segment-0-replica", "segment-1", "segment-1-replica"]


def test_a_snapshot_that_nothing_replaces_is_a_loss_of_its_weight() -> None:
    disk = FakeDisk()
    journal, _ = Journal.open(FOLDER, disk)
    for number in range(3):
        journal.append(1, b"%d" % number, weight=10)
        journal.snapshot(b"31" * 40, weight=10 * number + 10)
    journal.append(1, b"after", weight=1)
    journal.commit()
    for name in sorted(disk.cached):
        disk.cached[name][50] ^= 1
    kept, lost, _ = found(disk)
    assert (kept, lost) == ([b"after"], [Lost(30)])


@pytest.mark.slow
def test_bits_flipped_in_all_files_are_always_detected() -> None:
    reported = wrong = 0
    for seed in range(300):
        chance = random.Random(seed)
        disk, state = a_run(chance, chance.randint(5, 40))
        for name in sorted(disk.cached):
            written = len(disk.cached[name].rstrip(b"\0"))
            hit = disk.cached[name][:written]
            flip(chance, hit, 8)
            disk.cached[name][:written] = hit
        kept, lost, _ = found(disk)
        assert set(kept) <= set(state)
        reported += bool(lost)
        wrong += kept != state and not lost
    assert reported > 20
    assert wrong <= 1


def test_no_files_are_a_journal_that_begins_with_nothing() -> None:
    recovered, position = recover({})
    assert (recovered.snapshot, list(recovered.records), recovered.repaired) == (None, [], 0)
    assert (position.segment, position.offset, position.sequence, position.total) == (0, 0, 0, 0)
    assert (position.base_bytes, position.replay_bytes, position.records) == (0, 0, 0)
    assert position.needed == {0}
