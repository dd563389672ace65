"""Only an open alert of a silent gateway hides others, and only those of its series."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cloud_functions.core.alert import Alert, Origin, State, merge
from cloud_functions.core.inhibition import inhibitor_of, inhibitors
from cloud_functions.core.severity import AlertKind
from tests.unit.cloud.fakes import NOW_MS, report

SILENT = merge(None, "gw-1", replace(report(), series=""), NOW_MS, Origin(AlertKind.SILENCE, "", "critical"))
OF_SERIES = merge(None, "gw-1", report(), NOW_MS, Origin())


@pytest.mark.parametrize("state", list(State))
def test_the_alert_of_a_silent_gateway_hides_others_from_firing_until_it_is_resolved(state: State) -> None:
    expected = {} if state in (State.PENDING, State.RESOLVED) else {"gw-1": SILENT.id}
    assert inhibitors([replace(SILENT, state=state), OF_SERIES]) == expected


@pytest.mark.parametrize(
    "alert",
    [
        replace(SILENT, report=report()),
        replace(SILENT, origin=Origin(AlertKind.HEALTH, "clock", "warning")),
        OF_SERIES,
    ],
    ids=["of a silent series", "of the gateway's health", "of an anomaly"],
)
def test_another_alert_hides_none(alert: Alert) -> None:
    assert inhibitors([alert]) == {}


def test_alerts_of_the_gateways_series_are_hidden_and_no_others() -> None:
    hiding = inhibitors([SILENT])
    assert inhibitor_of(OF_SERIES, hiding) == SILENT.id
    assert inhibitor_of(replace(OF_SERIES, gateway="gw-2"), hiding) == ""
    assert inhibitor_of(SILENT, hiding) == ""
    assert inhibitor_of(replace(SILENT, origin=Origin(AlertKind.HEALTH, "clock", "warning")), hiding) == ""
    assert inhibitor_of(OF_SERIES, {"gw-1": OF_SERIES.id}) == ""
