"""Action of a fault: the functions that cause and end it."""

from __future__ import annotations

from collections.abc import Callable


class Action:
    """Pair of functions: ``apply`` returns a description, or None without a target; ``undo`` ends the fault."""

    def __init__(self, apply: Callable[[], str | None], undo: Callable[[], object] = lambda: None) -> None:
        self.apply, self.undo = apply, undo
