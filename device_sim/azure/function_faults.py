"""Faults of the functions of the local Azure: at their requests, and of their triggers."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import requests
from azure.core.pipeline.transport import HttpTransport, RequestsTransport
from azure.core.rest._requests_basic import RestRequestsTransportResponse


class RequestFault(StrEnum):
    """Fault at a request of a function."""

    STOPPED = "the function is stopped after the request had its effect"
    THROTTLED = "the service answers that it is busy"


class StoppedError(BaseException):
    """A function that was stopped: no handler of errors receives it."""


NextFault = Callable[[str], RequestFault | None]
"""Returns the fault at a request to a URL."""


class FaultyTransport(HttpTransport[Any, Any]):
    """Transport of a storage client, below its retries, with faults at its requests; raises ``stopped``."""

    def __init__(self, next_fault: NextFault, stopped: type[BaseException] = StoppedError) -> None:
        self._requests, self._next_fault, self._stopped = RequestsTransport(), next_fault, stopped

    def send(self, request: Any, **options: Any) -> Any:
        """Send a request, or answer it in the place of the service."""
        fault = self._next_fault(str(request.url))
        if fault is RequestFault.THROTTLED:
            return _busy(request)
        answer = self._requests.send(request, **options)
        if fault is RequestFault.STOPPED:
            raise self._stopped
        return answer

    def open(self) -> None:
        """Open the connections."""
        self._requests.open()

    def close(self) -> None:
        """Close the connections."""
        self._requests.close()

    def __enter__(self) -> FaultyTransport:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _busy(request: Any) -> Any:
    """Return the answer of a service that limits the rate of requests."""
    answer = requests.Response()
    answer.status_code, answer.reason = 503, "Server Busy"
    answer.headers.update({"x-ms-error-code": "ServerBusy", "Content-Type": "text/plain", "Content-Length": "0"})
    answer.raw = io.BytesIO()
    return RestRequestsTransportResponse(request=request, internal_response=answer)  # type: ignore[no-untyped-call]


class FunctionFaults:
    """Faults that are planned for the functions; used by several threads.

    ``tables`` is the URL of the table service. Each number is that of faults that are still to happen.
    """

    def __init__(self, tables: str = "") -> None:
        self.tables = tables
        self.tables_busy = False
        """True while the table service answers every request that it is busy."""
        self._lock = threading.Lock()
        self._stop_after: int | None = None
        self._starts = 0
        self._twice = {"events": 0, "messages": 0}

    @property
    def starts(self) -> int:
        """Number of restarts of the host; a function that began before the last one stops at its next request."""
        return self._starts

    def stop_after(self, requests_: int) -> None:
        """Stop a function after the given number of requests from now on, counted from 1."""
        with self._lock:
            self._stop_after = requests_

    @property
    def stop_planned(self) -> bool:
        """True until the function was stopped."""
        return self._stop_after is not None

    def restart_host(self) -> None:
        """Stop every function at its next request."""
        with self._lock:
            self._starts += 1

    def run_twice(self, what: str) -> None:
        """Have two processes work on the next batch of ``events``, or on the next message of a queue (``messages``)."""
        with self._lock:
            self._twice[what] += 1

    def planned_twice(self, what: str) -> bool:
        """Return True until two processes have worked on it."""
        return self._twice[what] > 0

    def take_twice(self, what: str) -> bool:
        """Return True if two processes are to work on it."""
        with self._lock:
            if not self._twice[what]:
                return False
            self._twice[what] -= 1
            return True

    def next_fault(self, url: str, started: int) -> RequestFault | None:
        """Return the fault at a request of a function that began after ``started`` restarts of the host."""
        with self._lock:
            if started < self._starts:
                return RequestFault.STOPPED
            if self._stop_after is not None:
                self._stop_after -= 1
                if self._stop_after <= 0:
                    self._stop_after = None
                    return RequestFault.STOPPED
            return RequestFault.THROTTLED if self.tables_busy and url.startswith(self.tables) else None
