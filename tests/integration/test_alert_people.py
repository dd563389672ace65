"""Notifications for people in the local cloud: chat services, incident managers, and e-mail through SNS."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import unquote

import cbor2
import pytest

from device_sim.aws.local import STACK, LocalCloud
from tests.http_server import http_server
from tests.integration.chat_formats import (
    API_KEY,
    ROUTING_KEY,
    Received,
    check_opsgenie,
    check_pagerduty,
    check_slack,
    check_teams,
    receiver,
)
from tests.waiting import until

CHECKS = {"slack": check_slack, "teams": check_teams, "pagerduty": check_pagerduty, "opsgenie": check_opsgenie}
PATHS = {"slack": "/hook", "teams": "/hook", "pagerduty": "/v2/enqueue", "opsgenie": "/v2/alerts"}
SECRETS = {"pagerduty": ROUTING_KEY, "opsgenie": API_KEY}


class Site:
    """The local cloud without a sender of e-mails, with a receiver of each service, and an alert's whole life."""

    def __init__(self, cloud: LocalCloud, stack: ExitStack) -> None:
        self.cloud = cloud
        self.found: dict[str, list[Received]] = {name: [] for name in CHECKS}
        self.faults: list[str] = []
        for name, check in CHECKS.items():
            address = stack.enter_context(http_server(receiver(check, "", self.found[name], self.faults)))
            url = address + PATHS[name]
            channel = {"type": "webhook", "preset": name, "url": url}
            if name in SECRETS:
                cloud.client("secretsmanager").create_secret(Name=f"{STACK}/{name}", SecretString=SECRETS[name])
                channel["secret"] = f"secretsmanager:{STACK}/{name}"
            self.put("channels", name, channel)
        self.put("channels", "mail", {"type": "email", "to": ["ada@example.com"]})
        self.put("routes", "people", {"channels": [*CHECKS, "mail"], "group_interval_s": 1})
        rule = {
            "condition": {"type": "threshold", "above": 80},
            "severity": "critical",
            "summary": "<b>Hot</b> & @here",
        }
        self.put("rules", "hot", rule)
        self.queue = self._subscribed()

    def put(self, kind: str, name: str, body: dict[str, Any]) -> None:
        status, answer = self.cloud.call_api("PUT", f"/v1/{kind}/{name}", body)
        assert status == 200, answer

    def _subscribed(self) -> str:
        """Return a queue that receives what subscribers by e-mail do."""
        sqs = self.cloud.client("sqs")
        url = str(sqs.create_queue(QueueName="mail")["QueueUrl"])
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        allow = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
        policy = {"Version": "2012-10-17", "Statement": [allow | {"Resource": arn}]}
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
        topic = self.cloud.outputs["NotificationsTopicArn"]
        self.cloud.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        return url

    def post(self, value: float) -> None:
        reading = {"series": "pump1/temperature", "time": int(time.time() * 1000), "value": value, "unit": "Cel"}
        status, answer = self.cloud.call_api("POST", "/v1/gateways/gw-1/telemetry", {"readings": [reading]})
        assert status == 202, answer

    def watched(self, numbers: dict[str, int], text: str = "") -> bool:
        """Run the timer; return True when each service received the number of requests, the last one with a text."""
        assert self.faults == []
        if not (reached := self._received(numbers, text)):
            self.cloud.watch()
        return reached

    def _received(self, numbers: dict[str, int], text: str) -> bool:
        found = {name: self.found[name] for name in numbers}
        return all(
            len(found[name]) >= number and text in json.dumps(found[name][-1].body) for name, number in numbers.items()
        )

    def mails(self) -> list[dict[str, Any]]:
        answer = self.cloud.client("sqs").receive_message(
            QueueUrl=self.queue, MaxNumberOfMessages=10, VisibilityTimeout=0, WaitTimeSeconds=0
        )
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site at which an alert has fired, was acknowledged, and has ended."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("people")
        cloud = stack.enter_context(LocalCloud.start(folder, parameters={"WebhookLoopback": "on"}))
        found = Site(cloud, stack)
        found.post(90.0)
        until(lambda: found.watched(dict.fromkeys(CHECKS, 1)), "each service received the alert")
        (alert,) = cloud.call_api("GET", "/v1/alerts")[1]["items"]
        status, answer = cloud.call_api("POST", f"/v1/alerts/{alert['id'].replace('/', '%2F')}/acknowledge", {})
        assert status == 200, answer
        until(lambda: found.watched({"pagerduty": 2, "opsgenie": 2}), "the acknowledgement")
        found.post(20.0)
        until(lambda: found.watched({"pagerduty": 3, "opsgenie": 3}), "the end")
        # Chat services may receive the acknowledgement by itself or together with the end.
        until(lambda: found.watched({"slack": 2, "teams": 2}, "resolved"), "the end in chat services")
        yield found


def test_chat_services_receive_notifications_in_their_format_without_markup(site: Site) -> None:
    blocks = [block for one in site.found["slack"] for part in one.body["attachments"] for block in part["blocks"]]
    texts = [block["text"]["text"] for block in blocks if "text" in block]
    assert texts[0] == "[CRITICAL] firing: gw-1: pump1/temperature: <b>Hot</b> & @here: 90 Cel, limit 80 Cel"
    assert any("Value: 90 Cel" in text for text in texts)
    assert site.found["slack"][0].body["text"].endswith("&lt;b&gt;Hot&lt;/b&gt; &amp; @here: 90 Cel, limit 80 Cel")
    cards = [one.body["attachments"][0]["content"] for one in site.found["teams"]]
    runs = [run["text"] for card in cards for element in card["body"] for run in element["inlines"]]
    assert runs[0] == texts[0]
    assert any("resolved" in run for run in runs)


def test_incident_managers_receive_each_transition_under_one_key(site: Site) -> None:
    events = [one.body for one in site.found["pagerduty"]]
    assert [event["event_action"] for event in events] == ["trigger", "acknowledge", "resolve"]
    assert len({event["dedup_key"] for event in events}) == 1
    created, *actions = site.found["opsgenie"]
    assert (created.path, created.body["priority"]) == ("/v2/alerts", "P1")
    names = [one.path.split("/")[-2:] for one in actions]
    assert [unquote(alias) for alias, _ in names] == [created.body["alias"]] * 2
    assert [action for _, action in names] == ["acknowledge", "close"]


def test_senml_as_cbor_passes_the_api_as_bytes(site: Site) -> None:
    now_s = int(time.time())
    pack = [{-2: "tank/", -3: now_s, 0: "level", 1: "m", 2: 1.5}, {0: "level", 6: -1, 2: "high"}, {0: "open", 4: True}]
    path, kind = "/v1/gateways/device-9/telemetry", "application/senml+cbor"
    status, answer = site.cloud.call_api("POST", path, cbor2.dumps(pack), content_type=kind)
    assert (status, answer["accepted"], [fault["index"] for fault in answer["faults"]]) == (202, 2, [1])
    found = site.cloud.call_api("GET", "/v1/gateways/device-9/latest")[1]["items"]
    assert {one["series"]: one["mean"] for one in found} == {"tank/level": 1.5, "tank/open": 1.0}
    assert site.cloud.call_api("POST", path, b"\x9f" * 10_000, content_type=kind)[0] == 400


def test_without_a_sender_an_email_is_published_to_the_topic_for_people(site: Site) -> None:
    mail = until(lambda: site.mails() or None, "a message of the topic")[0]
    assert mail["TopicArn"] == site.cloud.outputs["NotificationsTopicArn"]
    assert mail["Subject"].startswith("[CRITICAL] firing: gw-1: pump1/temperature:")
    assert mail["Subject"].isascii()
    assert len(mail["Subject"]) <= 100
    assert "Value: 90 Cel" in mail["Message"]
    assert mail["MessageAttributes"]["channel"]["Value"] == "mail"
