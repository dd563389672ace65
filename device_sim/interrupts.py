"""End of a run by Ctrl-C or SIGTERM such that all started parts are stopped, once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, ClassVar, Self


class InterruptedRunError(BaseException):
    """Request to end the run; a BaseException as KeyboardInterrupt, so that error handlers do not catch it.

    ``exit_code`` is the shell's convention: 128 and the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class Interrupts:
    """While entered, the first SIGINT or SIGTERM raises InterruptedRunError in the main thread, later ones do nothing.

    After :meth:`hold` none does, so that a second Ctrl-C cannot interrupt the cleanup. Within :func:`uninterrupted` the
    first one waits for the end of the block.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)
    _deferring: ClassVar[int] = 0
    _deferred: ClassVar[int | None] = None

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
        Interrupts._deferred = None
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def hold(self) -> None:
        """Ignore further signals."""
        self._held = True

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._held:
            return
        self._held = True
        if Interrupts._deferring:
            Interrupts._deferred = number
        else:
            raise InterruptedRunError(number)

    @classmethod
    @contextlib.contextmanager
    def defer(cls) -> Iterator[None]:
        """See :func:`uninterrupted`."""
        if threading.current_thread() is not threading.main_thread():
            yield  # signals interrupt the main thread only
            return
        cls._deferring += 1
        try:
            yield
        finally:
            cls._deferring -= 1
            if not cls._deferring and cls._deferred is not None:
                number, cls._deferred = cls._deferred, None
                raise InterruptedRunError(number)


def uninterrupted() -> contextlib.AbstractContextManager[None]:
    """Return a context in which no signal raises InterruptedRunError; it is raised at the end of the block instead.

    For the short time in which a process is started: an exception between its start and the return of its handle would
    leave it running, without a handle to stop it.
    """
    return Interrupts.defer()
