"""Tests of the command-line options: the error of each invalid option names it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from device_sim.greengrass.arguments import read
from device_sim.greengrass.errors import StartError
from device_sim.greengrass.main import EXIT_START, main
from device_sim.greengrass.profile import JAVA, LITE


def argv(folder: Path, *more: str) -> list[str]:
    here = str(folder)
    return ["--root", f"{here}/root", "--thing", "gw-1", "--recipes", here, "--artifacts", here, *more]


def test_the_defaults_are_the_java_nucleus_offline(tmp_path: Path) -> None:
    settings = read(argv(tmp_path, "--deploy", "io.x.One=1.0.0"))
    assert (settings.profile.name, settings.region, settings.endpoint) == ("java", "us-east-1", None)
    assert settings.deploy == {"io.x.One": "1.0.0"}
    assert (settings.limits.restarts, settings.uplink) == (JAVA.restarts, JAVA.uplink)


def test_options_take_the_place_of_the_profiles_values(tmp_path: Path) -> None:
    more = ("--profile", "lite", "--restart-limit", "8", "--restart-pause", "0.5", "--reconnect-seconds", "2")
    settings = read(argv(tmp_path, *more))
    assert settings.limits.restarts == replace(LITE.restarts, limit=8, pause=0.5)
    assert settings.limits.binds_hard
    assert settings.uplink == replace(LITE.uplink, first_pause=2.0, longest_pause=2.0)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--thing", "a b"], "--thing 'a b': 1 to 128"),
        (["--recipes", "/absent"], "--recipes /absent: no such folder"),
        (["--deploy", "io.x.One"], "--deploy 'io.x.One': NAME=VERSION is required"),
        (["--deploy", "io.x.One=new"], "--deploy 'io.x.One=new': 'new' is not a version"),
        (["--restart-limit", "0"], "--restart-limit 0: 1 or more"),
        (["--merge-config", "/absent"], "--merge-config /absent: "),
        (["--iot-endpoint", "host:1"], "--cert, --key, --ca: required with --iot-endpoint"),
        (["--iot-endpoint", "host", "--cert", "a", "--key", "b", "--ca", "c"], "--iot-endpoint 'host': HOST:PORT"),
        (["--iot-endpoint", "h:70000", "--cert", "a", "--key", "b", "--ca", "c"], "1 to 65535"),
    ],
)
def test_a_mistake_names_the_option(tmp_path: Path, more: list[str], sentence: str) -> None:
    with pytest.raises(StartError) as caught:
        read(argv(tmp_path, *more))
    assert sentence in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[]", '{"io.x.One": 5}', "[" * 100_000])
def test_the_error_for_an_invalid_configuration_file_names_it(tmp_path: Path, content: str) -> None:
    file = tmp_path / "merge.json"
    file.write_text(content)
    with pytest.raises(StartError, match=f"--merge-config {file}: "):
        read(argv(tmp_path, "--merge-config", str(file)))


def test_credentials_that_cannot_be_read_stop_the_start_with_their_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--cert", f"{tmp_path}/c", "--key", f"{tmp_path}/k", "--ca", f"{tmp_path}/ca"]
    endpoint = read(argv(tmp_path, "--iot-endpoint", "localhost:8883", *files)).endpoint
    assert endpoint is not None
    with pytest.raises(StartError, match=f"--ca {tmp_path}/ca: "):
        endpoint.context()
    assert main(argv(tmp_path, "--deploy", "nonsense")) == EXIT_START
    assert capsys.readouterr().err == "nucleus: --deploy 'nonsense': NAME=VERSION is required\n"
