"""The thread behind the watchdog: ends the process in which a model's call stands still, for there is no other way."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from edge_components.anomaly_detector.model_runtime.calls import Calls, Watchdog
from edge_components.common.loop import EXIT_SOFTWARE

LOOK_SECONDS = 1.0


class WatchThread(threading.Thread):
    """Looks once a second until the process ends."""

    def __init__(
        self,
        dog: Watchdog,
        log: logging.Logger,
        every_s: float | None = None,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        super().__init__(name="models-watchdog", daemon=True)
        self._dog, self._log, self._end = dog, log, end
        self._every_s = LOOK_SECONDS if every_s is None else every_s
        self._stopped = threading.Event()

    def run(self) -> None:
        """Look, and end the process without ``close`` where a call stands still."""
        while not self._stopped.wait(self._every_s):
            calls = self._dog.look(self._every_s)
            if calls is not None:
                self._tell(calls)
                self._end(EXIT_SOFTWARE)
                return

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        self.join()

    def _tell(self, calls: Calls) -> None:
        self._log.critical(
            "%s stands still for more than %g s in its call %d: the component ends, and starts again without it",
            calls.name,
            calls.still_s,
            calls.made + 1,
        )
        for handler in logging.getLogger().handlers:
            handler.flush()
