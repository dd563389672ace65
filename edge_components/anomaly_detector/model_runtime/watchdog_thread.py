"""The watchdog's thread: ends the process in which a model's call hangs, since the call cannot be interrupted."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from edge_components.anomaly_detector.model_runtime.calls import Calls, Watchdog
from edge_components.common.loop import EXIT_SOFTWARE

CHECK_SECONDS = 1.0


class WatchdogThread(threading.Thread):
    """Checks once a second until the process ends."""

    def __init__(
        self,
        watchdog: Watchdog,
        log: logging.Logger,
        every_s: float | None = None,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        super().__init__(name="models-watchdog", daemon=True)
        self._watchdog, self._log, self._end = watchdog, log, end
        self._every_s = CHECK_SECONDS if every_s is None else every_s
        self._stopped = threading.Event()

    def run(self) -> None:
        """Check periodically, and end the process without ``close`` if a call hangs."""
        while not self._stopped.wait(self._every_s):
            calls = self._watchdog.check(self._every_s)
            if calls is not None:
                self._log_hang(calls)
                self._end(EXIT_SOFTWARE)
                return

    def stop(self) -> None:
        """Stop checking."""
        self._stopped.set()
        self.join()

    def _log_hang(self, calls: Calls) -> None:
        self._log.critical(
            "%s hangs for more than %g s in its call %d: the process ends, and the next one rejects the model",
            calls.name,
            calls.hang_timeout_s,
            calls.made + 1,
        )
        for handler in logging.getLogger().handlers:
            handler.flush()
