"""Tables, clock and settings that the routes of the api function use.

What needs NumPy is made at its first use: most requests do not decode rows, and its import would slow a cold start.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from cloud_functions.core.alerting import AlertBook
from cloud_functions.core.documents import Documents
from cloud_functions.core.gateways import SILENT_AFTER_MS, Silence
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.ports import NowMs, Table

if TYPE_CHECKING:
    from cloud_functions.core.history_reader import Archived
    from cloud_functions.core.ports import ArchiveReader
    from cloud_functions.core.profiles import Profiles
    from cloud_functions.core.storing import Storer

DAY_MS = 86_400_000


@dataclass
class Services:
    """Services of the routes; times to live are in ms."""

    telemetry: Table
    alerts: Table
    now_ms: NowMs
    raw_ms: int = 7 * DAY_MS
    report_ms: int = 90 * DAY_MS
    alert_ms: int = 400 * DAY_MS
    silent_after_ms: int = SILENT_AFTER_MS
    metrics: Metrics = field(default_factory=Metrics)
    archive_function: str = ""
    """Name of the function that reads the archive; empty for none."""
    archive: ArchiveReader | None = None
    """Reader of the archive in the place of that function."""

    @property
    def silence(self) -> Silence:
        """The rule by which a gateway is silent now."""
        return Silence(self.now_ms(), self.silent_after_ms)

    @cached_property
    def book(self) -> AlertBook:
        """The alerts table as alerts."""
        return AlertBook(self.alerts, self.now_ms, self.alert_ms)

    @cached_property
    def profiles(self) -> Profiles:
        """The profiles to which stored batches refer, cached between requests."""
        from cloud_functions.core.profiles import Profiles

        return Profiles(self.telemetry, self.now_ms, self.raw_ms)

    @cached_property
    def storer(self) -> Storer:
        """Storage of posted telemetry."""
        from cloud_functions.core.storing import Storer

        return Storer(self.telemetry, self.now_ms, self.raw_ms, self.report_ms, profiles=self.profiles)

    @cached_property
    def _archive(self) -> ArchiveReader | None:
        if self.archive is not None or not self.archive_function:
            return self.archive
        from cloud_functions.adapters.archive_function import ArchiveFunction

        return ArchiveFunction(self.archive_function)

    @property
    def archived(self) -> Archived | None:
        """The archive, for rows whose batches and roll-ups have expired."""
        from cloud_functions.core.history_reader import Archived

        now_ms = self.now_ms()
        if self._archive is None:
            return None
        return Archived(self._archive, now_ms - self.raw_ms, now_ms - self.report_ms)

    def documents(self, kind: str) -> Documents:
        """Return the documents of a kind."""
        return Documents(self.alerts, kind, self.now_ms)
