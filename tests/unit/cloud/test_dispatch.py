"""Transitions reach the channels of their routes: machines each one, people grouped notifications, and none is lost."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.core import alert as alerts
from cloud_functions.core.alert import Alert, State
from cloud_functions.core.alerting import AlertBook
from cloud_functions.core.configuration import Configuration
from cloud_functions.core.deliveries import Delivery, DeliveryError, retry_after_s
from cloud_functions.core.dispatch import Dispatcher, matching, transitions_of
from cloud_functions.core.documents import Documents
from cloud_functions.core.errors import StoreError
from cloud_functions.core.grouping import MAX_MEMBERS, Group, Groups
from cloud_functions.core.keys import STATE_BUCKETS
from cloud_functions.core.ports import Item
from tests.unit.cloud.fakes import NOW_MS, START_MS, CrashError, FakeOutbox, FakeTable, report
from wire.model import Phase

MAIL = {"type": "email", "to": ["ada@example.com"]}
ROUTE = {"channels": ["mail"], "group_interval_s": 60}


class Site:
    """Alerts, configuration and queues of a stack, with a clock that the test sets."""

    def __init__(self, **route: Any) -> None:
        self.now_ms = NOW_MS
        self.table, self.outbox = FakeTable(), FakeOutbox()
        self.document("channels", "mail", MAIL)
        self.document("routes", "people", ROUTE | route)
        clock = lambda: self.now_ms  # noqa: E731 - read at each call
        self.configuration = Configuration(self.table, clock, cache_ms=0)
        self.groups = Groups(self.table, self.outbox, clock)
        self.dispatcher = Dispatcher(self.configuration.routes, self.configuration.channels, self.outbox, self.groups)
        self.book = AlertBook(self.table, clock, 10**9, silences=self.configuration.silences)
        self.read = len(self.table.stream)

    def document(self, kind: str, name: str, body: dict[str, Any]) -> None:
        Documents(self.table, kind, lambda: NOW_MS).put(name, body, "Ada")

    def fire(self, series: str, gateway: str = "gw-1") -> Alert:
        return self.book.report(gateway, report(series=series))

    def end(self, series: str, gateway: str = "gw-1") -> Alert:
        return self.book.report(gateway, report(Phase.END, 9_000, series=series))

    def run(self) -> None:
        """Dispatch what changed, as one batch of the stream."""
        changes = self.table.stream[self.read :]
        self.read = len(self.table.stream)
        self.dispatcher.dispatch([one for old, new in changes for one in transitions_of(old, new)])

    def wait(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)
        for bucket in range(STATE_BUCKETS):
            self.groups.flush_due(bucket)

    def mails(self) -> list[tuple[int, dict[str, int]]]:
        """Return the number of alerts of each notification, and of each state."""
        return [(one["data"]["count"], one["data"]["counts"]) for one in self.outbox.events("mail")]


def test_ten_series_of_an_asset_share_a_notification_with_their_number() -> None:
    site = Site(group_wait_s=10)
    for at in range(10):
        site.fire(f"pump1/s{at}")
    site.run()
    assert site.mails() == []
    site.wait(10)
    assert site.mails() == [(10, {"firing": 10})]
    assert site.outbox.events("mail")[0]["data"]["group"] == "gw-1/pump1"


def test_the_first_alert_is_sent_at_once_and_later_ones_together_after_the_interval() -> None:
    site = Site()
    site.fire("pump1/a")
    site.run()
    assert site.mails() == [(1, {"firing": 1})]
    for name in ("pump1/b", "pump1/c"):
        site.fire(name)
        site.run()
    site.end("pump1/a")
    site.run()
    assert len(site.mails()) == 1
    site.wait(60)
    assert site.mails()[1:] == [(3, {"firing": 2, "resolved": 1})]
    site.wait(60)
    site.wait(60)
    assert len(site.mails()) == 2
    site.fire("pump1/d")
    site.run()
    # The group was closed after an interval without a transition, so this is again the first.
    assert site.mails()[2:] == [(1, {"firing": 1})]


def test_other_assets_and_gateways_have_their_own_notifications() -> None:
    site = Site()
    for series, gateway in (("pump1/a", "gw-1"), ("pump2/a", "gw-1"), ("pump1/a", "gw-2")):
        site.fire(series, gateway)
    site.run()
    assert len(site.mails()) == 3


def test_machine_channels_receive_each_transition_at_once() -> None:
    site = Site()
    for at in range(5):
        site.fire(f"pump1/s{at}")
    site.run()
    for channel in ("default-sns", "default-eventbridge", "default-mqtt"):
        assert len(site.outbox.events(channel)) == 5
    kinds = {kind for kind, body in site.outbox.put_in if body["channel"] == "default-mqtt"}
    assert kinds == {"mqtt"}


def test_an_alert_that_several_routes_send_to_one_machine_channel_is_sent_once() -> None:
    site = Site()
    site.document("routes", "again", {"channels": ["default-sns"]})
    site.fire("pump1/a")
    site.run()
    assert len(site.outbox.events("default-sns")) == 1


def test_series_of_the_gateway_itself_are_sent_only_where_a_route_asks() -> None:
    site = Site(series="host.*")
    site.fire("host.cpu")
    site.run()
    assert site.outbox.events("default-sns") == []
    assert site.mails() == [(1, {"firing": 1})]


def test_a_channel_that_does_not_exist_has_no_effect_on_others() -> None:
    site = Site(channels=["missing", "mail"])
    site.fire("pump1/a")
    site.run()
    assert site.mails() == [(1, {"firing": 1})]


def test_an_invalid_document_is_left_out_and_counted() -> None:
    site = Site()
    site.document("routes", "broken", {"channels": "mail"})
    site.fire("pump1/a")
    site.run()
    assert len(site.mails()) == 1


def test_a_configured_route_named_default_replaces_the_built_in_one() -> None:
    site = Site()
    site.document("routes", "default", {"channels": ["default-mqtt"]})
    site.fire("pump1/a")
    site.run()
    assert len(site.outbox.events("default-mqtt")) == 1
    assert site.outbox.events("default-sns") == []


def test_a_reminder_reaches_people_and_not_machines_and_an_escalation_its_own_channels() -> None:
    site = Site()
    site.document("channels", "boss", MAIL)
    alert = site.fire("pump1/a")
    (route,) = (one for one in site.configuration.routes() if one.name == "people")
    site.dispatcher.repeat(alert, route, "-repeat-1")
    assert len(site.mails()) == 1
    assert site.outbox.events("default-sns") == []
    site.dispatcher.repeat(alert, route, "-escalate", ["boss", "default-sns"])
    assert len(site.outbox.events("boss")) == 1
    (event,) = site.outbox.events("default-sns")
    assert event["id"].endswith("-firing-escalate")


def test_a_failed_queue_keeps_the_members_for_the_next_attempt() -> None:
    site = Site()
    site.document("routes", "default", {"channels": ["mail"]})
    site.fire("pump1/a")
    site.outbox.failures = 1
    read = site.read
    with pytest.raises(StoreError):
        site.run()
    site.read = read  # the stream repeats the records
    site.run()
    assert sorted(one for one, _ in site.mails()) == [1, 1]


def test_more_alerts_than_a_notification_covers_are_all_counted() -> None:
    site = Site(group_by="gateway", group_wait_s=1)
    some = site.fire("pump1/a")
    members = {
        f"e{at}": {"id": f"e{at}", "gateway": "gw-1", "state": "firing", "severity": "info", "onset_ms": at}
        for at in range(MAX_MEMBERS + 5)
    }
    site.run()
    (head,) = site.table.of_kind("group")
    group = _group_of(head)
    site.groups.add({group: members})
    site.wait(1)
    assert sum(count for count, _ in site.mails()) == MAX_MEMBERS + 6
    assert some.state is State.FIRING
    assert site.table.of_kind("member") == []


def _group_of(head: Item) -> Group:
    route, channel, kind, title = (str(head[name]) for name in ("route", "channel", "channel_type", "title"))
    return Group(route, channel, kind, title, 1_000, int(head["interval_ms"]))


@given(st.data())
def test_no_transition_is_lost_in_a_group_despite_crashes_and_concurrent_flushes(data: st.DataObject) -> None:
    site = Site(group_wait_s=data.draw(st.sampled_from([0, 5])))
    site.document("routes", "default", {"channels": ["mail"], "group_interval_s": 30})
    names = [f"pump1/s{at}" for at in range(data.draw(st.integers(1, 6)))]
    for name in names:
        site.fire(name)
        changes = site.table.stream[site.read :]
        site.read = len(site.table.stream)
        entered = [one for old, new in changes for one in transitions_of(old, new)]
        while True:
            site.table.writes_left = data.draw(st.none() | st.integers(0, 6))
            try:
                site.dispatcher.dispatch(entered)
                break
            except CrashError:
                continue
            finally:
                site.table.writes_left = None
        if data.draw(st.booleans()):
            site.table.writes_left = data.draw(st.none() | st.integers(0, 3))
            with contextlib.suppress(CrashError):
                site.wait(data.draw(st.sampled_from([0, 5, 30])))
            site.table.writes_left = None
    for _ in range(3):
        site.wait(60)
    sent = {one["series"] for event in site.outbox.events("mail") for one in event["data"]["alerts"]}
    assert sent == set(names)
    assert site.table.of_kind("member") == []
    assert site.table.of_kind("group") == []
    ids = [event["id"] for event in site.outbox.events("mail")]
    assert len(ids) == len(set(ids))


def test_a_member_that_is_added_while_its_group_is_closed_is_sent() -> None:
    site = Site()
    site.fire("pump1/a")
    site.run()

    def add() -> None:
        site.table.before_delete = None
        site.fire("pump1/b")
        site.run()

    site.table.before_delete = add
    site.wait(60)
    site.wait(60)
    assert sum(count for count, _ in site.mails()) == 2


def test_a_group_that_is_not_due_or_unknown_or_sent_by_another_is_not_sent() -> None:
    site = Site(group_wait_s=10)
    site.fire("pump1/a")
    site.run()
    (head,) = site.table.of_kind("group")
    name = str(head["sk"])
    assert (site.groups.flush(name), site.groups.flush("unknown")) == (0, 0)
    site.now_ms += 10_000
    sent_by_another: list[int] = []

    def another() -> None:
        site.table.before_replace = None
        sent_by_another.append(site.groups.flush(name))

    site.table.before_replace = another
    assert site.groups.flush(name) == 0
    assert sent_by_another == [1]
    assert len(site.mails()) == 1


def test_of_an_alert_with_several_transitions_the_newest_state_is_shown() -> None:
    site = Site(group_wait_s=5)
    site.fire("pump1/a")
    site.end("pump1/a")
    site.run()
    site.wait(5)
    assert site.mails() == [(1, {"resolved": 1})]


def test_the_routes_of_an_alert_follow_its_severity() -> None:
    site = Site(severities=["critical"])
    alert = site.fire("pump1/a")
    assert [one.name for one in matching(site.configuration.routes(), alert)] == ["default"]
    worse = replace(alert, report=replace(alert.report, score=9.0))
    assert len(matching(site.configuration.routes(), worse)) == 2


def test_a_silenced_alert_that_was_announced_sends_its_end_to_machines_only() -> None:
    site = Site()
    site.fire("pump1/a")
    site.run()
    site.document("silences", "s", {"from": 0, "to": NOW_MS + 10**6, "author": "Ada", "comment": "x"})
    site.book.settle(alerts.read_alert_id(alerts.alert_id("gw-1", "pump1/a", START_MS)))
    site.end("pump1/a")
    site.run()
    site.wait(120)
    assert [one["type"].split(".")[3] for one in site.outbox.events("default-sns")] == ["firing", "resolved"]
    assert site.mails() == [(1, {"firing": 1})]


def test_a_delivery_is_restored_from_its_message_and_has_a_key() -> None:
    delivery = Delivery("mail", "gw-1", {"id": "e1", "type": "t"})
    assert Delivery.from_json(delivery.to_json()) == delivery
    assert delivery.key == "e1/mail"
    for text in ("", "[]", "{}", '{"channel": "a", "gateway": "b", "event": 5}'):
        with pytest.raises(DeliveryError, match="not a delivery"):
            Delivery.from_json(text)


def test_attempts_wait_longer_each_time_up_to_a_limit() -> None:
    waits = [retry_after_s(attempt) for attempt in range(1, 9)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1], retry_after_s(10**6)) == (5, 900, 900)


def test_the_items_of_a_group_expire_a_week_after_their_notification_is_due() -> None:
    site = Site(group_wait_s=10)
    site.fire("pump1/a")
    site.run()
    (head,), (member,) = site.table.of_kind("group"), site.table.of_kind("member")
    week_s = 7 * 86_400
    assert (head["expires_at"], member["expires_at"]) == (NOW_MS // 1000 + 10 + week_s, NOW_MS // 1000 + week_s)
    assert (head["opened_ms"], head["due_ms"]) == (NOW_MS, NOW_MS + 10_000)
    site.now_ms += 4_000
    site.fire("pump1/b")
    site.run()
    (head,) = site.table.of_kind("group")
    assert (head["opened_ms"], head["due_ms"]) == (NOW_MS, NOW_MS + 10_000)
