"""Tests of the parts that cause faults (clock, disk, source) and of the report."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from device_sim.chaos import broker, disks
from device_sim.chaos.actions import SystemUnderTest, actions
from device_sim.chaos.clock import HOUR, YEAR, ComponentClock
from device_sim.chaos.errors import ChaosError, UnprovableError
from device_sim.chaos.faults import Done
from device_sim.chaos.ledger import Drops, Reconciliation
from device_sim.chaos.proof import Proof
from device_sim.chaos.report import Cloud, Report
from device_sim.chaos.runner import Options, run
from device_sim.chaos.schedule import KINDS
from device_sim.chaos.source import DurablePublisher
from device_sim.greengrass.component_build import Built, BuiltComponent, Nucleus
from strandline.packaging.components import build_here

WANTED_KEYS = {
    "faults", "readings_sent", "rows_expected", "rows_stored", "lost", "duplicated", "accounted_drops",
}  # fmt: skip


def component(folder: Path, text: str) -> Built:
    recipe = folder / "recipe.yaml"
    recipe.write_text(text)
    return Built(Nucleus.JAVA, folder, folder, (BuiltComponent("io.x", "1.0.0", recipe, folder / "x.zip", 0, ""),))


def wall_seconds(folder: Path) -> tuple[float, float]:
    """Return time.time and time.time_ns of a process that is started like a component."""
    code = "import time; print(time.time(), time.time_ns()); time.sleep(0.01)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, nanoseconds = done.stdout.split()
    return float(seconds), int(nanoseconds) / 1e9


@pytest.mark.parametrize("offset", [0, -HOUR, YEAR])
def test_the_components_wall_clock_is_shifted_by_the_offset(tmp_path: Path, offset: int) -> None:
    clock = ComponentClock(tmp_path / "clock")
    clock.set(offset)
    for seconds in wall_seconds(tmp_path / "clock"):
        assert abs(seconds - time.time() - offset) < 60


def test_the_recipes_start_components_with_the_clock_first_on_their_path(tmp_path: Path) -> None:
    built = component(tmp_path, "run: exec env PYTHONPATH={artifacts:decompressedPath}/x python -m x\n")
    ComponentClock(tmp_path / "clock").install(built)
    expected = f"run: exec env PYTHONPATH={tmp_path}/clock:{{artifacts:decompressedPath}}/x python -m x\n"
    assert built.components[0].recipe.read_text() == expected


def test_a_recipe_without_a_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ChaosError, match=r"recipe\.yaml"):
        ComponentClock(tmp_path / "clock").install(component(tmp_path, "run: sleep 1\n"))


def test_the_same_choice_flips_the_same_bits(tmp_path: Path) -> None:
    outcome, data = [], []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        spool = tmp_path / name / disks.SPOOL
        spool.write_bytes(b"\xff" * 10_000)
        outcome.append(disks.flip(tmp_path / name, disks.SPOOL, 0.42))
        data.append(spool.read_bytes())
    assert outcome[0] == outcome[1]
    assert data[0] == data[1]
    flipped = [byte ^ 0xFF for byte in data[0] if byte != 0xFF]
    assert 1 <= len(flipped) <= 8
    assert all(byte.bit_count() == 1 for byte in flipped)


def test_bits_are_flipped_in_the_used_part_of_a_preallocated_segment(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    segment = tmp_path / "journal" / "segment-0"
    for choice in range(20):
        segment.write_bytes(b"\x01" * 100 + bytes(1_000_000))
        assert disks.flip(tmp_path, disks.JOURNAL, choice / 20) is not None
        data = segment.read_bytes()
        assert data[:100] != b"\x01" * 100
        assert not any(data[100:])


def test_no_bits_are_flipped_without_a_spool(tmp_path: Path) -> None:
    assert disks.flip(tmp_path, disks.SPOOL, 0.5) is None


@pytest.mark.skipif(not disks.can_mount(), reason="mounting a file system needs root, and a machine that allows it")
def test_a_small_file_system_is_filled_emptied_and_made_read_only(tmp_path: Path) -> None:
    with disks.Tmpfs(tmp_path / "work") as disk:
        file = tmp_path / "work" / "file"
        file.write_bytes(b"1")
        disk.fill()
        with pytest.raises(OSError, match="No space"):
            file.write_bytes(bytes(10_000))
        disk.empty()
        file.write_bytes(bytes(10_000))
        disk.read_only()
        with pytest.raises(OSError, match="Read-only"):
            file.write_bytes(b"2")
        disk.writable()
        file.write_bytes(b"3")
    assert not (tmp_path / "work" / "file").exists()


def test_without_root_permissions_and_configuration_simulate_disk_faults(tmp_path: Path) -> None:
    reported: list[dict[str, int]] = []
    work = tmp_path / "work"
    with disks.Permissions(work, lambda values: not reported.append(values)) as disk:
        (work / disks.SPOOL).write_bytes(b"1")
        disk.read_only()
        assert (work / disks.SPOOL).stat().st_mode & 0o777 == 0o444
        assert work.stat().st_mode & 0o777 == 0o555
        disk.writable()
        assert (work / disks.SPOOL).stat().st_mode & 0o777 == 0o644
        disk.fill()
        disk.empty()
    assert [values["disk_keep_free_bytes"] for values in reported] == [10**12, disks.KEEP_FREE_BYTES]


def test_a_source_resends_readings_that_the_broker_may_not_have_saved() -> None:
    saved = 0.0
    publisher = DurablePublisher("127.0.0.1", 1, lambda: saved)
    published: list[bytes] = []
    publisher._unsaved = [(100.0, "a", b"1"), (200.0, "a", b"2")]
    publisher.publish = lambda topic, payload: published.append(payload)
    saved = 150.0
    publisher.forget_saved()
    assert publisher.publish_unsaved() == 1
    assert published == [b"2"]
    assert publisher.publish_unsaved() == 0
    assert publisher.republished == 1


def report(**changes: object) -> Report:
    values: dict[str, object] = {
        "seed": 1,
        "faults_s": 10.0,
        "drain_s": 2.0,
        "done": (
            Done("broker killed", 1.0, "process 1"),
            Done("disk full", 3.0, "", "no target within 20 s"),
        ),
        "proof": Proof(80, 80, 10, 10, ()),
        "reconciliation": Reconciliation(0, 0),
        "drops": Drops(),
        "cloud": Cloud(5, 1, 0, 1),
        "redeployed": 0,
        "orphans": 0,
        "republished": 0,
        "acknowledgement_faults": {},
        "spool_losses_reported": True,
        "disk": "tmpfs",
        "clock": "shifted",
    }
    return Report(**(values | changes))  # type: ignore[arg-type]


def test_json_object_has_documented_keys_and_counts_only_faults_that_were_caused() -> None:
    reported = report().to_dict()
    assert set(reported) >= WANTED_KEYS
    assert (reported["faults"], reported["faults_failed"], reported["holds"]) == (1, 1, True)


@pytest.mark.parametrize(
    "changes",
    [
        {"reconciliation": Reconciliation(0, 1)},
        {"orphans": 1},
        {"spool_losses_reported": False},
        {"cloud": Cloud(5, 1, 1, 1)},
        {"proof": Proof(0, 0, 0, 0, ())},
    ],
)
def test_a_run_holds_only_when_nothing_is_wrong(changes: dict[str, object]) -> None:
    assert not report(**changes).holds


def test_the_error_without_mosquitto_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "find_mosquitto", lambda: None)
    with pytest.raises(UnprovableError, match="apt-get install mosquitto"):
        run(Options(), tmp_path, Console(), build_here)


def test_every_planned_kind_of_fault_can_be_caused() -> None:
    nothing = SimpleNamespace()
    azure = SimpleNamespace(faults=nothing)
    known = actions(SystemUnderTest(*[*[nothing] * 8, azure]))  # type: ignore[arg-type]  # nothing is broken here
    assert {kind.name for kind in KINDS} <= set(known)
