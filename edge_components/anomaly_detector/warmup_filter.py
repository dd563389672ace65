"""Withhold anomalies of series that are not reported, or not yet observed for the configured number of windows. Pure.

A minute of a machine's processor load does not cover its usual range, but an hour does. Such series are scored after
their calibration, and their anomalies are reported after the warm-up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from edge_components.common.patterns import longest_match
from wire.model import Anomaly, Phase


class WarmupFilter:
    """Length of the warm-up, ``windows``, and flag ``reported`` by glob over names; the longest matching glob applies.

    Series that match no glob of ``reported`` are reported.
    """

    def __init__(self, windows: Mapping[str, int], reported: Mapping[str, bool] | None = None) -> None:
        self._windows, self._reported = windows, reported or {}
        self._withheld: set[str] = set()

    def passes(self, report: Anomaly, watched: int) -> bool:
        """Return whether to send a report of a series that was observed for ``watched`` windows.

        If the onset of an anomaly is withheld, so are its updates and its end.
        """
        if report.phase is Phase.ONSET and watched < self._warmup(report.series):
            self._withheld.add(report.series)
        if report.series not in self._withheld:
            return True
        if report.phase is Phase.END:
            self._withheld.discard(report.series)
        return False

    def _warmup(self, name: str) -> float:
        decisive = longest_match(name, self._reported)
        if decisive is not None and not self._reported[decisive]:
            return math.inf
        glob = longest_match(name, self._windows)
        return 0 if glob is None else self._windows[glob]
