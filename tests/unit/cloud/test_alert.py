"""State machine of an alert: order and repetition of reports have no effect."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.core.alert import (
    Alert,
    Origin,
    State,
    acknowledge,
    alert_id,
    from_item,
    merge,
    read_alert_id,
    to_item,
    transitions,
)
from cloud_functions.core.cloudevents import envelope, rfc3339
from cloud_functions.core.errors import RequestError
from tests.unit.cloud.fakes import NOW_MS, START_MS, report
from wire.model import Anomaly, Phase

HOLD_MS = 5_000
reports = st.builds(
    report,
    st.sampled_from(Phase),
    st.integers(0, 20_000),
    st.floats(0, 10, allow_nan=False),
)


def after(*given_: Anomaly, hold_ms: int = 0, alert: Alert | None = None) -> Alert:
    for one in given_:
        alert = merge(alert, "gw-1", one, NOW_MS, Origin(hold_ms=hold_ms))
    assert alert is not None
    return alert


def test_an_onset_fires_an_update_refreshes_and_an_end_resolves() -> None:
    alert = after(report())
    assert (alert.state, alert.last_ms, alert.ended_ms) == (State.FIRING, START_MS + 1_000, None)
    alert = after(report(Phase.UPDATE, 3_000, 2.5), alert=alert)
    assert (alert.state, alert.last_ms, alert.report.score) == (State.FIRING, START_MS + 3_000, 2.5)
    alert = after(report(Phase.END, 4_000, 0.5), alert=alert)
    assert (alert.state, alert.ended_ms, alert.report.score) == (State.RESOLVED, START_MS + 4_000, 2.5)


def test_an_alert_is_pending_until_the_anomaly_has_lasted() -> None:
    alert = after(report(), hold_ms=HOLD_MS)
    assert alert.state is State.PENDING
    assert after(report(Phase.UPDATE, HOLD_MS), alert=alert, hold_ms=HOLD_MS).state is State.FIRING


def test_an_anomaly_shorter_than_the_hold_time_resolves_without_a_transition() -> None:
    pending = after(report(), hold_ms=HOLD_MS)
    resolved = after(report(Phase.END, 2_000), alert=pending, hold_ms=HOLD_MS)
    assert resolved.state is State.RESOLVED
    assert transitions(None, pending) == transitions(pending, resolved) == ()


@given(st.lists(reports, min_size=1, max_size=6), st.sampled_from([0, HOLD_MS]), st.randoms())
def test_order_and_repetition_of_reports_do_not_change_the_alert(
    given_: list[Anomaly], hold_ms: int, rng: object
) -> None:
    shuffled = given_ + [rng.choice(given_) for _ in range(3)]  # type: ignore[attr-defined]
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert after(*shuffled, hold_ms=hold_ms) == after(*given_, hold_ms=hold_ms)


@given(st.lists(reports | st.just(None), min_size=1, max_size=10), st.sampled_from([0, HOLD_MS]))
def test_the_state_never_goes_back_and_each_transition_is_published_once(
    steps: list[Anomaly | None], hold_ms: int
) -> None:
    """A step of None is an acknowledgement."""
    alert: Alert | None = None
    published: list[State] = []
    for step in steps:
        before = alert
        if step is not None:
            alert = merge(alert, "gw-1", step, NOW_MS, Origin(hold_ms=hold_ms))
        elif alert is not None and alert.state is not State.RESOLVED:
            alert = acknowledge(alert, "Ada", NOW_MS)
        if alert is None:
            continue
        if before is not None:
            assert list(State).index(alert.state) >= list(State).index(before.state)
        published += transitions(before, alert)
    assert published == sorted(set(published), key=list(State).index)
    if alert is not None:
        assert (alert.state in published) == alert.fired
        assert (State.FIRING in published) or not alert.fired or alert.acknowledged_ms is not None


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((None, "firing"), ("firing",)),
        ((None, "resolved"), ("firing", "resolved")),
        (("firing", "firing"), ()),
        (("firing", "acknowledged"), ("acknowledged",)),
        (("firing", "resolved"), ("resolved",)),
        (("acknowledged", "resolved"), ("resolved",)),
        (("resolved", "resolved"), ()),
    ],
)
def test_transitions_between_two_states(states: tuple[str | None, str], expected: tuple[str, ...]) -> None:
    firing = after(report())
    versions = {
        None: None,
        "firing": firing,
        "acknowledged": acknowledge(firing, "Ada", NOW_MS),
        "resolved": after(report(Phase.END, 9_000), alert=firing),
    }
    before, new = versions[states[0]], versions[states[1]]
    if states == ("acknowledged", "resolved"):
        new = after(report(Phase.END, 9_000), alert=before)
    assert new is not None
    assert transitions(before, new) == expected


def test_the_first_acknowledgement_is_kept() -> None:
    alert = acknowledge(acknowledge(after(report()), "Ada", NOW_MS), "Bob", NOW_MS + 1)
    assert (alert.acknowledged_by, alert.acknowledged_ms) == ("Ada", NOW_MS)


def test_an_acknowledged_pending_alert_publishes_no_firing_transition() -> None:
    alert = acknowledge(after(report(), hold_ms=HOLD_MS), "Ada", NOW_MS)
    assert (alert.state, alert.fired) == (State.ACKNOWLEDGED, True)


def test_a_resolved_alert_cannot_be_acknowledged() -> None:
    with pytest.raises(RequestError, match="it is resolved"):
        acknowledge(after(report(Phase.END)), "Ada", NOW_MS)


@given(st.lists(reports, min_size=1, max_size=4), st.booleans())
def test_an_alert_is_restored_from_its_item(given_: list[Anomaly], acknowledged: bool) -> None:
    alert = after(*given_)
    if acknowledged and alert.state is not State.RESOLVED:
        alert = acknowledge(alert, "Ada", NOW_MS)
    assert from_item(to_item(alert, 1) | {"version": 4}) == replace(alert, version=4)


def test_an_item_of_the_first_release_is_loaded() -> None:
    item = {
        "pk": "gw-1",
        "sk": f"{START_MS:013d}#pump0.temperature",
        "kind": "alert",
        "state": "firing",
        "listed": "firing#3",
        "fired": 1,
        "report": json.dumps(report().to_dict()),
        "last_ms": START_MS + 1_000,
        "opened_ms": NOW_MS,
        "acknowledged_by": "",
        "expires_at": 1,
        "version": 2,
    }
    alert = from_item(item)
    assert (alert.state, alert.announced, alert.fired_ms, alert.origin) == (State.FIRING, True, None, Origin())
    assert transitions(alert, after(report(Phase.END, 9_000), alert=alert)) == ("resolved",)
    assert (alert.severity, alert.flapping, alert.to_dict()["kind"]) == ("warning", False, "anomaly")


def test_an_alert_id_is_reversible_and_needs_no_url_quoting() -> None:
    name = alert_id("gw:1", "pump/1.x", START_MS)
    assert name.isalnum()
    assert read_alert_id(name) == ("gw:1", "pump/1.x", START_MS, "")
    of_gateway = alert_id("gw:1", "", START_MS, "silence:")
    assert read_alert_id(of_gateway) == ("gw:1", "", START_MS, "silence:")


@pytest.mark.parametrize(
    "text",
    [
        *("", "zz", "ff", "abc", b"a".hex(), b"a#b#c".hex(), b"a#1#b#c".hex(), b"a#1#".hex(), b"a#1#b#anomaly:".hex()),
        *(b"a#11111111111111#b".hex(), "a#\u0661#b".encode().hex(), b"a#1#b#rule:x#y".hex(), b"a#1#b#other:x".hex()),
    ],
)
def test_an_invalid_alert_id_is_rejected(text: str) -> None:
    with pytest.raises(RequestError, match="is not an alert id"):
        read_alert_id(text)


def test_an_envelope_has_the_required_cloudevents_attributes() -> None:
    alert = after(report(), report(Phase.END, 9_000))
    firing, resolved = (envelope(alert, state) for state in (State.FIRING, State.RESOLVED))
    for one in (firing, resolved):
        assert one["specversion"] == "1.0"
        assert all(isinstance(one[name], str) and one[name] for name in ("id", "source", "type", "subject", "time"))
    assert firing["id"] != resolved["id"]
    assert (firing["type"], firing["data"]["state"]) == ("io.strandline.alert.firing.v1", "firing")
    assert resolved["time"] == rfc3339(START_MS + 9_000)
    assert envelope(alert, State.FIRING) == firing


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_750_000_000_007, "2025-06-15T15:06:40.007Z"),
        (10**15, "9999-12-31T23:59:59.000Z"),
    ],
)
def test_times_are_rfc3339(ms: int, text: str) -> None:
    assert rfc3339(ms) == text


def test_every_permutation_of_reports_gives_the_same_alert() -> None:
    life = (report(), report(Phase.UPDATE, 3_000, 2.5), report(Phase.UPDATE, 4_000, 2.0), report(Phase.END, 5_000, 0.2))
    assert len({repr(after(*order)) for order in itertools.permutations(life)}) == 1


def test_an_alert_that_is_first_seen_acknowledged_has_all_its_transitions() -> None:
    acknowledged = acknowledge(after(report()), "Ada", NOW_MS)
    assert transitions(None, acknowledged) == ("firing", "acknowledged")
    resolved = after(report(Phase.END, 9_000), alert=acknowledged)
    assert transitions(None, resolved) == ("firing", "acknowledged", "resolved")


def test_an_alert_as_json_has_the_values_of_its_report_but_not_its_phase_and_time() -> None:
    alert = acknowledge(after(report(Phase.UPDATE, 3_000, 2.5)), "Ada", NOW_MS)
    shown = alert.to_dict()
    assert {"phase", "time_ms"} & shown.keys() == set()
    assert (shown["series"], shown["onset_ms"], shown["score"]) == (alert.report.series, alert.report.onset_ms, 2.5)
    assert (shown["gateway"], shown["state"], shown["last_ms"]) == ("gw-1", "acknowledged", START_MS + 3_000)
    assert (shown["ended_ms"], shown["opened_ms"]) == (None, NOW_MS)
    assert (shown["acknowledged_ms"], shown["acknowledged_by"]) == (NOW_MS, "Ada")
    assert read_alert_id(shown["id"]) == ("gw-1", alert.report.series, alert.report.onset_ms, "")


def test_a_new_alert_is_version_0_and_the_name_of_its_acknowledger_has_at_most_256_characters() -> None:
    alert = after(report())
    assert alert.version == 0
    assert acknowledge(alert, "a" * 300, NOW_MS).acknowledged_by == "a" * 256
