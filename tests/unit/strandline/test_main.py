"""Expected errors of every package end the command line with one sentence; defects keep their traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from cloud_functions.core.errors import CloudError
from device_sim.aws.errors import PortTakenError
from device_sim.errors import BuildError
from device_sim.greengrass.local_client import LocalClientError
from edge_components.common.errors import EdgeError
from strandline import cli
from strandline.errors import AccountError
from wire.errors import WireError


def failing(error: Exception) -> Callable[[], Callable[[], None]]:
    def run() -> None:
        raise error

    return lambda: run


def ended(error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(cli, "make_app", failing(error))
    monkeypatch.setattr(sys, "argv", ["strandline", "demo"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    return shown.err


@pytest.mark.parametrize(
    "kind", [AccountError, BuildError, LocalClientError, PortTakenError, EdgeError, CloudError, WireError]
)
def test_an_expected_error_is_one_sentence(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(kind("the reason"), monkeypatch, capsys) == "strandline: the reason\n"


def test_an_error_of_a_file_names_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    error = PermissionError(13, "Permission denied", "/root/x")
    assert ended(error, monkeypatch, capsys) == "strandline: /root/x: Permission denied\n"


def test_a_missing_package_of_an_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "strandline[sim]" in ended(ModuleNotFoundError(name="ministack"), monkeypatch, capsys)


@pytest.mark.parametrize("error", [ValueError("x"), ModuleNotFoundError(name="absent"), OSError("x")])
def test_a_defect_keeps_its_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "make_app", failing(error))
    with pytest.raises(type(error)):
        cli.main()
