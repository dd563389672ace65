"""The clouds that the contract tests of the ports run against.

Each module of ``clouds`` is one: its function ``start`` starts the services below a folder and yields a :class:`Cloud`.
It raises MissingError, which skips the tests of the cloud, where something that it needs is not installed.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from cloud_functions.adapters.change_relay import ChangeLog
from cloud_functions.core.ports import (
    Acknowledger,
    DeadLetterSink,
    ErasableArchive,
    ErasableTable,
    NowMs,
    Outbox,
    SeriesFiles,
)
from tests.integration.ports.faults import Faults

CHANNEL_TYPES = ("eventbridge", "email")
"""Types of channels that have a queue."""


class MissingError(Exception):
    """Something is not installed; the text names it and how to install it."""


class SeriesArchive(ErasableArchive, SeriesFiles, Protocol):
    """An archive with everything that the functions use."""


@dataclass(frozen=True, slots=True)
class Adapters:
    """The adapters of one process of a function: they share nothing with those of another."""

    telemetry: ErasableTable
    alerts: ErasableTable
    archive: SeriesArchive
    acknowledger: Acknowledger
    dead_letters: DeadLetterSink
    outbox: Outbox


@dataclass(frozen=True, slots=True)
class CapturedTable:
    """A table that records changes of the kind ``alert``, its log, and the partitions that were woken."""

    table: ErasableTable
    changes: ChangeLog
    woken: list[str]


@runtime_checkable
class Capturing(Protocol):
    """A cloud whose tables have no stream of changes."""

    def captured(self, now_ms: NowMs) -> CapturedTable:
        """Return new adapters, as a new process of a function has them."""


class Cloud(Protocol):
    """A running cloud. Every request of its adapters passes ``faults``."""

    faults: Faults

    def connect(self) -> Adapters:
        """Return new adapters, as a new process of a function has them."""

    def acknowledged(self) -> Sequence[tuple[str, bytes]]:
        """Return the acknowledgements that gateways received since the last call, as (gateway, payload)."""

    def kept(self) -> Sequence[tuple[str, dict[str, str]]]:
        """Remove and return the dead letters, as (body, attributes)."""

    def queued(self, channel_type: str) -> Sequence[str]:
        """Remove and return the texts in the queue of a type of channel, in any order."""


def names() -> list[str]:
    """Return the names of all clouds."""
    return sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent / "clouds")]))


def start(name: str, root: Path) -> AbstractContextManager[Cloud]:
    """Start a cloud below a folder; raises MissingError."""
    module = importlib.import_module(f"tests.integration.ports.clouds.{name}")
    started: AbstractContextManager[Cloud] = module.start(root)
    return started
