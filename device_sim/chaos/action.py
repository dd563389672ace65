"""One fault: the function that causes it and the one that ends it."""

from __future__ import annotations

from collections.abc import Callable


class Action:
    """``apply`` returns a description, or None while there is nothing to break; ``undo`` ends the fault."""

    def __init__(self, apply: Callable[[], str | None], undo: Callable[[], object] = lambda: None) -> None:
        self.apply, self.undo = apply, undo
