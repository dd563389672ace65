"""Check of the programs that the cloud of a simulation needs, before anything is started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from device_sim.cloud_kind import CloudKind
from device_sim.clouds import check
from device_sim.errors import SimulationError


def test_without_the_emulator_of_bigtable_the_error_has_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("google.cloud.bigtable", reason="the extra google is not installed")
    folders = [folder for folder in os.environ["PATH"].split(os.pathsep) if not Path(folder, "cbtemulator").exists()]
    for name, value in (("HOME", str(tmp_path)), ("GOBIN", ""), ("PATH", os.pathsep.join(folders))):
        monkeypatch.setenv(name, value)
    with pytest.raises(SimulationError, match="go install cloud"):
        check(CloudKind.GOOGLE)


def test_aws_needs_nothing_more() -> None:
    check(CloudKind.AWS)
