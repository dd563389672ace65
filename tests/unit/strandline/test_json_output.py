"""Each command has ``--json``, prints one JSON value with it, and has documented exit codes."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from strandline.documentation import references
from strandline.exit_codes import COMMAND_CODES, EXIT_CODES
from strandline.text import print_json
from tests.command_line import app, invoke, root

WITHOUT_JSON = {"gateway run": "prints a JSON line for each change of a component's state until it is ended"}
"""Commands that do not have the option, and the reason."""


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield each command that can be run, by its words; groups that run without a sub-command are commands."""
    nested = getattr(command, "commands", None)
    if nested is None or command.invoke_without_command:
        yield " ".join(words), command
    for name, one in (nested or {}).items():
        yield from commands(one, (*words, name))


COMMANDS = dict(commands(root(app())))


def test_the_tree_has_nested_commands_and_groups_that_are_commands() -> None:
    assert {"detect", "component list", "rules", "rules put", "gateway run"} <= COMMANDS.keys()


def without_option(found: dict[str, Any]) -> set[str]:
    options = {words: [one for param in command.params for one in param.opts] for words, command in found.items()}
    return {words for words, names in options.items() if "--json" not in names}


def test_each_command_has_the_option_for_json() -> None:
    assert without_option(COMMANDS) == WITHOUT_JSON.keys()


def test_the_option_is_a_flag_of_each_command() -> None:
    options = [param for command in COMMANDS.values() for param in command.params if "--json" in param.opts]
    assert [param.name for param in options if not param.is_flag] == []


def test_a_command_without_the_option_is_found() -> None:
    app = typer.Typer()
    app.command("one")(lambda: None)
    app.command("two")(lambda: None)
    assert without_option(dict(commands(typer.main.get_command(app)))) == {"one", "two"}


def test_commands_that_end_with_a_code_of_their_own_are_documented() -> None:
    modules = {words: inspect.getmodule(command.callback) for words, command in COMMANDS.items()}
    ending = {words for words, command in COMMANDS.items() if "typer.Exit(" in inspect.getsource(command.callback)}
    assert ending == COMMAND_CODES.keys()
    assert all(modules.values())


def test_the_reference_has_the_exit_codes() -> None:
    page = references.command_line()
    for code, meaning in EXIT_CODES.items():
        assert f"| {code} | {meaning} |" in page
    section = page.split("## strandline doctor\n")[1].split("\n## ")[0]
    assert "3: with --strict, a finding is a warning" in section


def test_a_value_that_json_does_not_have_is_an_error() -> None:
    with pytest.raises(ValueError, match="JSON"):
        print_json({"value": float("nan")})


HISTORY = "time,level\n" + "".join(f"{at * 60},{20 + at % 7}\n" for at in range(400))
RULE = '{"topics": [{"topic": "hall/{device}", "value": ["t", "h"]}]}'


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (["cost", "--compare"], {"items", "total_usd", "compare"}),
        (["detect", "history.csv", "--time", "time", "--values", "level"], {"file", "anomalies", "summary"}),
        (
            ["forecast", "history.csv", "history.csv", "--time", "time", "--values", "level", "--high", "90"],
            {"series", "limits"},
        ),
        (["source", "try", "entry.json", "--topic", "hall/a", "--payload", "payload"], {"readings", "rejections"}),
        (["gateway", "provision", "gw-1", "--bucket", "b"], {"commands"}),
        (["publish", "--bucket", "b", "--dry-run", "--out", "out"], {"commands"}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_standard_output_is_one_json_value(
    arguments: list[str], keys: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "history.csv").write_text(HISTORY)
    (tmp_path / "entry.json").write_text(RULE)
    (tmp_path / "payload").write_text('{"t": 21.5, "h": "wet"}')
    done = invoke([*arguments, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert keys <= (found[0] if isinstance(found, list) else found).keys()


def test_the_result_of_a_trial_has_readings_and_rejections(tmp_path: Path) -> None:
    (tmp_path / "entry.json").write_text(RULE)
    (tmp_path / "payload").write_text('{"t": 21.5, "h": "wet", "time": 1699999990000}')
    asked = ["source", "try", str(tmp_path / "entry.json"), "--topic", "hall/a"]
    done = invoke([*asked, "--payload", str(tmp_path / "payload"), "--json"])
    found = json.loads(done.stdout)
    assert [(one["series"], one["value"]) for one in found["readings"]] == [("a.t", 21.5)]
    assert [one["reason"] for one in found["rejections"]] == ["rejected_value"]


def test_a_failure_prints_nothing_on_standard_output(tmp_path: Path) -> None:
    done = invoke(["inspect", str(tmp_path / "absent"), "--json"])
    assert (done.exit_code, done.stdout) == (1, "")


def test_a_result_can_be_written_to_a_file(tmp_path: Path) -> None:
    print_json({"lost": 0}, tmp_path / "result.json")
    assert json.loads((tmp_path / "result.json").read_text()) == {"lost": 0}


@pytest.mark.parametrize("command", ["demo", "chaos"])
def test_a_file_for_the_result_needs_the_option(command: str) -> None:
    done = invoke([command, "result.json"])
    assert done.exit_code == 2
    assert "needs --json" in done.output
