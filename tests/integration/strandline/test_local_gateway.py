"""The commands ``component`` and ``deployment`` on a running local nucleus with two small components."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from device_sim.greengrass.local_client import LocalClientError
from device_sim.greengrass.process import NucleusProcess
from strandline.cli import make_app
from tests.integration.nucleus_site import Site
from tests.waiting import until

pytestmark = pytest.mark.slow
BASE, USER = "io.strandline.Base", "io.strandline.User"
RUN = {"run": {"Script": "echo hello from {configuration:/word}; exec sleep 1000"}}


@pytest.fixture(scope="module")
def nucleus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NucleusProcess]:
    site = Site(tmp_path_factory.mktemp("my gateway"))
    site.recipe(BASE, RUN, configuration={"word": "base"})
    needs = {BASE: {"VersionRequirement": ">=1.0.0", "DependencyType": "HARD"}}
    site.recipe(USER, RUN, configuration={"word": "user", "size": 1}, dependencies=needs)
    with site.start() as started:
        started.wait_running(60)
        yield started


def invoke(nucleus: NucleusProcess, *arguments: str) -> Result:
    return CliRunner().invoke(make_app(), [*arguments, "--root", str(nucleus.root)])


def found(nucleus: NucleusProcess, *arguments: str, code: int = 0) -> Any:
    done = invoke(nucleus, *arguments, "--json")
    assert done.exit_code == code, done.output or done.exception
    return json.loads(done.stdout)


def state(nucleus: NucleusProcess, name: str) -> str:
    return next(one["state"] for one in found(nucleus, "component", "list") if one["name"] == name)


def test_components_are_listed_and_shown(nucleus: NucleusProcess) -> None:
    listed = found(nucleus, "component", "list")
    assert {one["name"] for one in listed} == {BASE, USER}
    assert {one["version"] for one in listed} == {"1.0.0"}
    assert USER in invoke(nucleus, "component", "list").stdout
    assert found(nucleus, "component", "details", "User")["configuration"]["word"] == "user"
    assert invoke(nucleus, "component", "details", "User").stdout.startswith(f"{USER} 1.0.0: ")


def test_a_component_is_stopped_and_restarted(nucleus: NucleusProcess) -> None:
    assert found(nucleus, "component", "stop", "User")["accepted"]
    until(lambda: state(nucleus, USER) == "FINISHED", "stopped", 20)
    assert "restart accepted" in invoke(nucleus, "component", "restart", "User").stdout
    until(lambda: state(nucleus, USER) == "RUNNING", "started again", 20)


def test_the_last_lines_of_a_log_are_printed(nucleus: NucleusProcess) -> None:
    def lines() -> list[str]:
        return list(found(nucleus, "component", "logs", "Base"))

    until(lambda: any("hello from base" in line for line in lines()), "the line", 20)
    assert len(found(nucleus, "component", "logs", "greengrass", "--lines", "1")) == 1
    assert "hello from base" in invoke(nucleus, "component", "logs", "Base").stdout
    assert invoke(nucleus, "component", "logs", "Base", "--follow", "--json").exit_code == 2


@pytest.mark.parametrize("command", ["details", "restart", "stop"])
def test_a_component_that_is_not_deployed_is_an_error(nucleus: NucleusProcess, command: str) -> None:
    error = invoke(nucleus, "component", command, "Absent").exception
    assert isinstance(error, LocalClientError)
    assert "io.strandline.Absent is not deployed" in str(error)


def test_a_log_that_does_not_exist_is_an_error_that_names_the_others(nucleus: NucleusProcess) -> None:
    error = invoke(nucleus, "component", "logs", "Absent").exception
    assert isinstance(error, LocalClientError)
    assert f"logs are of: greengrass, {BASE}, {USER}" in str(error)


def test_a_configuration_is_deployed_and_the_deployment_listed(nucleus: NucleusProcess) -> None:
    made = found(nucleus, "deployment", "create", "--update-config", '{"User": {"MERGE": {"size": 5}}}')
    assert made["status"] == "SUCCEEDED"
    assert found(nucleus, "component", "details", "User")["configuration"]["size"] == 5
    assert made in found(nucleus, "deployment", "list")
    assert found(nucleus, "deployment", "status", "-i", made["id"]) == made
    assert made["id"] in invoke(nucleus, "deployment", "list").stdout


def test_a_failed_deployment_has_its_cause_and_exit_code_1(nucleus: NucleusProcess) -> None:
    made = found(nucleus, "deployment", "create", "--merge", "User=9.9.9", code=1)
    assert made["status"] == "FAILED"
    assert USER in made["cause"]
    assert "9.9.9" in made["cause"]


def test_a_removed_component_that_another_needs_stays_and_is_named(nucleus: NucleusProcess) -> None:
    done = invoke(nucleus, "deployment", "create", "--remove", "Base")
    assert done.exit_code == 0, done.output
    assert f"{BASE} stays: another deployed component depends on it" in done.stderr
    assert state(nucleus, BASE) == "RUNNING"


def test_an_unknown_deployment_is_an_error(nucleus: NucleusProcess) -> None:
    error = invoke(nucleus, "deployment", "status", "-i", "absent").exception
    assert isinstance(error, LocalClientError)
    assert "no deployment absent" in str(error)


def test_a_folder_without_a_gateway_is_an_error_that_names_the_commands(tmp_path: Path) -> None:
    error = CliRunner().invoke(make_app(), ["component", "list", "--root", str(tmp_path)]).exception
    assert isinstance(error, LocalClientError)
    assert "start one with `strandline up`" in str(error)
