"""End of a run by Ctrl-C or SIGTERM such that all started parts are stopped, once."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Self


class InterruptedRunError(BaseException):
    """Request to end the run; a BaseException as KeyboardInterrupt, so that error handlers do not catch it.

    ``exit_code`` is the shell's convention: 128 and the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class Interrupts:
    """While entered, the first SIGINT or SIGTERM raises InterruptedRunError in the main thread, later ones do nothing.

    After :meth:`hold` none does, so that a second Ctrl-C cannot interrupt the cleanup.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self._held = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in self._SIGNALS:
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def hold(self) -> None:
        """Ignore further signals."""
        self._held = True

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if not self._held:
            self._held = True
            raise InterruptedRunError(number)
