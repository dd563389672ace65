"""Faults at calls of the cloud's ports: a function that is killed, runs into its timeout, or is throttled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any, TypeVar, cast

from cloud_functions.core.errors import StoreError
from tests.unit.cloud.fakes import CrashError

T = TypeVar("T")


class Fault(StrEnum):
    """Kind of a fault."""

    KILLED_BEFORE = "killed before the call"
    KILLED_AFTER = "killed after the call had its effect"
    """Also the effect of a timeout: the service did what was requested, and the function does not learn it."""
    THROTTLED = "throttled"


class Faults:
    """Decides at each call of a port, by :attr:`choose`, which fault happens; counts the calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.choose: Callable[[int], Fault | None] = lambda _: None

    def at(self, call: int, fault: Fault) -> None:
        """Let one fault happen at the ``call``-th call from now on, counted from 0."""
        self.calls = 0
        self.choose = lambda number: fault if number == call else None

    def stop(self) -> None:
        """Let no further fault happen."""
        self.choose = lambda _: None

    def wrap(self, port: T) -> T:
        """Return the port with faults at its methods, including those that return iterators."""
        return cast("T", _Port(port, self))

    def next(self) -> Fault | None:
        """Return the fault of the next call."""
        self.calls += 1
        return self.choose(self.calls - 1)


class _Port:
    def __init__(self, port: object, faults: Faults) -> None:
        self._port, self._faults = port, faults

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        def call(*args: Any, **options: Any) -> Any:
            fault = self._faults.next()
            if fault is Fault.THROTTLED:
                raise StoreError(f"{name}: throttled")
            if fault is Fault.KILLED_BEFORE:
                raise CrashError
            answer = method(*args, **options)
            if isinstance(answer, Iterator):
                return self._items(answer, fault)
            if fault is Fault.KILLED_AFTER:
                raise CrashError
            return answer

        return call

    def _items(self, items: Iterator[Any], fault: Fault | None) -> Iterator[Any]:
        for item in items:
            yield item
            if fault is Fault.KILLED_AFTER:
                raise CrashError
