"""Each command has examples in its help, and each example has options and arguments that the command takes."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from strandline import __version__
from strandline.example_commands import EXAMPLES
from tests.command_line import app, invoke, root

ROOT: Any = root(app())


def test_each_command_has_examples() -> None:
    assert sorted(ROOT.commands) == sorted(EXAMPLES)


@pytest.mark.parametrize("example", [line for lines in EXAMPLES.values() for line in lines])
def test_an_example_is_a_valid_command_line(example: str) -> None:
    program, *arguments = shlex.split(example)
    assert program == "strandline"
    command, context = ROOT, None
    while True:
        context = command.make_context(command.name, list(arguments), parent=context)
        left = [*getattr(context, "_protected_args", ()), *context.args]
        if not (hasattr(command, "resolve_command") and left):
            return
        _name, found, arguments = command.resolve_command(context, left)
        assert found is not None
        command = found


@pytest.mark.parametrize("command", ["up", "detect", "component", "rules"])
def test_examples_are_at_the_end_of_the_help_and_not_wrapped(command: str) -> None:
    text = invoke([command, "--help"]).output
    for line in EXAMPLES[command]:
        assert f"  {line}\n" in text


def test_the_version_is_that_of_the_package() -> None:
    done = invoke(["--version"])
    assert (done.exit_code, done.output) == (0, f"strandline {__version__}\n")
