"""Timer that invokes a function in a thread, more often than the schedule of the template does."""

from __future__ import annotations

import logging
import threading
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

_LOG = logging.getLogger(__name__)
_STOP_S = 70.0


class Timer:
    """A running timer; ``functions`` is a client of its own, which it closes at its end."""

    def __init__(self, functions: Any, function: str, every_s: float) -> None:
        self._functions, self._function, self._every_s = functions, function, every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch-timer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the timer after the invocation that is under way; safe to call again."""
        self._ended.set()
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            try:
                self._functions.invoke(FunctionName=self._function, Payload=b"{}")
            except (ClientError, BotoCoreError) as error:
                _LOG.warning("timer: %s", error)
        self._functions.close()
