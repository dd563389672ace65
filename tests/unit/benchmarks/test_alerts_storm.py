"""A small storm of alerts loses none, groups them, and repeats what the table refused."""

from __future__ import annotations

import pytest

from benchmarks.alerts_storm import GATEWAYS, storm


@pytest.mark.slow
def test_no_alert_of_a_storm_is_lost_although_writes_are_refused() -> None:
    figures = storm(10 * GATEWAYS)
    assert figures["storm_lost"] == 0
    assert figures["storm_repeated_batches"] > 0
    # An asset of ten series on each gateway: the first alert at once, the others together.
    assert figures["storm_notifications"] == 2 * GATEWAYS
