"""A port that is in use is named before anything is started."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from device_sim.demo.configuration import DemoOptions
from device_sim.demo.run import run as run_demo
from strandline.cli import make_app
from strandline.errors import CommandError
from strandline.packaging.components import build_here


@pytest.fixture
def taken() -> Iterator[int]:
    """Return a port that is in use; nothing listens there."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield int(one.getsockname()[1])


def test_up_names_a_port_in_use_before_it_learns(taken: int, tmp_path: Path) -> None:
    words = ["up", "--broker", "127.0.0.1:1", "--page-port", str(taken), "--dir", str(tmp_path)]
    error = CliRunner().invoke(make_app(), words).exception
    assert isinstance(error, CommandError)
    assert f"port {taken} for the page (--page-port) cannot be used: Address already in use" in str(error)


@pytest.mark.parametrize("option", ["page_port", "broker_port"])
def test_the_demo_names_a_port_in_use_before_it_builds(
    option: str, taken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    chosen: dict[str, Any] = {option: taken}
    assert run_demo(DemoOptions(**chosen), Console(width=300), build_here) == 1
    shown = capsys.readouterr().out
    assert f"port {taken} for the {option.split('_')[0]} (--{option.replace('_', '-')}) cannot be used" in shown
    assert "built" not in shown
