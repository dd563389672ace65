"""The command line in the process of a test. It is built once, since that takes longer than most commands."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import typer
import typer.testing
from typer.testing import CliRunner, Result

from strandline.cli import make_app

root: Any = cache(typer.main.get_command)
typer.testing._get_command = root  # type: ignore[attr-defined]
app = cache(make_app)


def invoke(arguments: Sequence[str], **options: Any) -> Result:
    """Run a command of ``strandline``."""
    return CliRunner().invoke(app(), list(arguments), **options)
