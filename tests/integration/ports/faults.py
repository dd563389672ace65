"""Faults at the calls of a service's client: throttling, partial success, and a function that stops at a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any


class Fault(StrEnum):
    """Kind of a fault."""

    STOPPED = "stopped after the call had its effect"
    """The same as stopped before the next call, and the effect of a timeout: the function does not learn the result."""
    THROTTLED = "throttled"
    PARTIAL = "accepted in part"
    """At requests of several items that the service may accept in part; other calls are not counted."""


class StoppedError(BaseException):
    """A function that was killed: no handler of errors sees it."""


class Faults:
    """Causes one fault at a call of a client, and counts the calls: every client asks it before a request."""

    def __init__(self) -> None:
        self.calls = 0
        self._call, self._fault = -1, Fault.THROTTLED

    def at(self, call: int, fault: Fault) -> None:
        """Cause ``fault`` at the ``call``-th call from now on, counted from 0."""
        self.calls, self._call, self._fault = 0, call, fault

    def stop(self) -> None:
        """Cause no further fault."""
        self._call = -1

    @property
    def happened(self) -> bool:
        """True if the call at which the fault was planned was made."""
        return self.calls > self._call

    def next(self, *, divisible: bool = False) -> Fault | None:
        """Return the fault of the next call, None for none; ``divisible`` if it can be accepted in part."""
        if self._fault is Fault.PARTIAL and not divisible:
            return None
        self.calls += 1
        return self._fault if self.calls - 1 == self._call else None


Partial = Callable[[Callable[..., Any], dict[str, Any]], Any]
"""Sends a part of a request, given the client's method and the arguments, and returns the answer of the service."""


class FaultyClient:
    """Client of a service with faults at its methods.

    ``throttled`` returns the error that the service answers a throttled request with, by method; ``partial`` has the
    methods that the service may accept in part.
    """

    def __init__(
        self,
        client: object,
        faults: Faults,
        throttled: Callable[[str], Exception],
        partial: Mapping[str, Partial] | None = None,
    ) -> None:
        self._client, self._faults, self._throttled = client, faults, throttled
        self._partial = partial or {}

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*args: Any, **options: Any) -> Any:
            fault = self._faults.next(divisible=name in self._partial)
            if fault is Fault.THROTTLED:
                raise self._throttled(name)
            if fault is Fault.PARTIAL:
                return self._partial[name](method, options)
            answer = method(*args, **options)
            if fault is Fault.STOPPED:
                raise StoppedError
            return answer

        return call
