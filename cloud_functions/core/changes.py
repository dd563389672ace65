"""Changes of both tables, in any cloud: reports become alerts, and transitions of alerts are dispatched."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from cloud_functions.core.alert import State
from cloud_functions.core.alerting import Ahead, AlertBook, anomaly_of
from cloud_functions.core.dispatch import Dispatcher, Transition, transitions_of
from cloud_functions.core.errors import CloudError
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.ports import Item, NowMs
from wire.errors import WireError

Change = tuple[Item | None, Item | None]
"""An item before and after a change; None if it did not exist, or was removed."""


class ChangeProcessor:
    """Processes changes of the telemetry and the alerts table; all steps are idempotent."""

    def __init__(
        self, book: AlertBook, dispatcher: Dispatcher, now_ms: NowMs, log: logging.Logger, metrics: Metrics
    ) -> None:
        self._book, self._dispatcher, self._now_ms = book, dispatcher, now_ms
        self._log, self._metrics = log, metrics

    def process(self, changes: Sequence[Change]) -> dict[int, str]:
        """Process every change, also after a failure; return the failed ones by position, with the error.

        The transitions share requests and notifications. Raises StoreError when they cannot be dispatched.
        """
        failed: dict[int, str] = {}
        entered: list[Transition] = []
        ahead = self._read_ahead(changes)
        for at, (old, new) in enumerate(changes):
            try:
                entered += [] if new is None else self._process(old, new, ahead)
            except Exception as error:  # noqa: BLE001 - logged, counted and returned
                keys = {} if new is None else {name: new.get(name) for name in ("pk", "sk")}
                self._log.exception("change failed", extra={"keys": keys})
                failed[at] = f"{type(error).__name__}: {error}"
                self._metrics.count("failed_records")
        if entered:
            self._dispatch(entered)
        return failed

    def _read_ahead(self, changes: Sequence[Change]) -> Ahead:
        """Return what the reports need of the table; empty on failure: then each is read by itself."""
        try:
            found = [report for _, new in changes if new and (report := anomaly_of(new))]
            return self._book.read_ahead(found) if len(found) > 1 else {}
        except (CloudError, WireError, LookupError, TypeError, ValueError) as error:
            self._log.warning("reports are not read together: %s", error)
            return {}

    def _process(self, old: Item | None, new: Item, ahead: Ahead) -> list[Transition]:
        """Merge a report into its alert, or return the transitions of a changed alert."""
        report = anomaly_of(new)
        if report is None:
            return transitions_of(old, new)
        alert = self._book.report(*report, ahead=ahead)
        self._metrics.count("reports")
        about = {"gateway": alert.gateway, "series": alert.report.series, "state": alert.state}
        self._log.info("report", extra=about)
        return []

    def _dispatch(self, entered: list[Transition]) -> None:
        self._dispatcher.dispatch(entered)
        self._metrics.count("published_transitions", len(entered))
        for alert, state in entered:
            if state is State.FIRING:
                self._metrics.observe("event_to_alert_ms", self._now_ms() - alert.report.onset_ms)
        self._log.info("dispatched", extra={"transitions": len(entered)})
