"""A demo that cannot start or continue names the component, the last line of its log, or the full disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from device_sim.demo import site as sites
from device_sim.errors import DemoError
from device_sim.greengrass.process import ERRORS


@dataclass
class Nucleus:
    """A nucleus with one component whose log has two lines."""

    root: Path
    state: str = "RUNNING"
    alive: bool = True

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def log(self, component: str) -> Path:
        return self.logs / f"{component}.log"

    def states(self) -> dict[str, str]:
        return {"io.strandline.Forwarder": self.state}


@pytest.fixture
def nucleus(tmp_path: Path) -> Nucleus:
    found = Nucleus(tmp_path / "a folder")
    found.logs.mkdir(parents=True)
    found.log("io.strandline.Forwarder").write_text("starting\nModuleNotFoundError: No module named 'numpy'\n\n")
    return found


def site(nucleus: Nucleus) -> Any:
    return SimpleNamespace(nucleus=nucleus, root=nucleus.root)


@pytest.mark.parametrize("state", ["ERRORED", "BROKEN"])
def test_a_component_that_failed_ends_the_start_with_the_last_line_of_its_log(nucleus: Nucleus, state: str) -> None:
    sites.check_started(site(nucleus))
    nucleus.state = state
    with pytest.raises(DemoError, match=f"Forwarder is {state}: ModuleNotFoundError: No module named 'numpy'; see "):
        sites.check_started(site(nucleus))


def test_a_nucleus_that_ended_is_named_with_its_last_line(nucleus: Nucleus) -> None:
    sites.check_alive(site(nucleus))
    nucleus.alive = False
    with pytest.raises(DemoError, match="has ended: without a message"):
        sites.check_alive(site(nucleus))
    (nucleus.root / ERRORS).write_text("nucleus: port in use\n")
    with pytest.raises(DemoError, match="has ended: nucleus: port in use"):
        sites.check_alive(site(nucleus))


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    assert "is full (4,096 bytes are free)" in sites.full_disk(tmp_path, lambda _folder: 4096)
    assert sites.full_disk(tmp_path, lambda _folder: 10**9) == ""
