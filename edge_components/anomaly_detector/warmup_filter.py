"""Which anomalies are reported yet: those of series that have been watched for long enough. Pure.

A minute of a machine's processor load says little of what is usual for it; an hour says more. Such series are scored
from their calibration on, and their anomalies reported once they have been watched for as many windows as is set.
"""

from __future__ import annotations

from collections.abc import Mapping

from edge_components.common.patterns import longest_match
from wire.model import Anomaly, Phase


class Patience:
    """``windows`` to watch a series before its anomalies are reported, by glob over names; the longest glob counts."""

    def __init__(self, windows: Mapping[str, int]) -> None:
        self._windows = windows
        self._withheld: set[str] = set()

    def passes(self, report: Anomaly, watched: int) -> bool:
        """Return whether to report what was seen in a series that was ``watched`` for so many windows.

        An anomaly whose onset was withheld is withheld to its end.
        """
        if report.phase is Phase.ONSET and watched < self._wanted(report.series):
            self._withheld.add(report.series)
        if report.series not in self._withheld:
            return True
        if report.phase is Phase.END:
            self._withheld.discard(report.series)
        return False

    def _wanted(self, name: str) -> int:
        glob = longest_match(name, self._windows)
        return 0 if glob is None else self._windows[glob]
