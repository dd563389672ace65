"""Channels: requests to services, payloads of presets, signatures, and the escaping of hostile text."""

from __future__ import annotations

import hashlib
import hmac
import html.parser
import importlib
import json
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions import settings
from cloud_functions.adapters.channels.email import EmailDeliverer
from cloud_functions.adapters.channels.eventbridge import EventBridgeDeliverer
from cloud_functions.adapters.channels.mqtt import MqttDeliverer
from cloud_functions.adapters.channels.registry import Deliverers, Options, each
from cloud_functions.adapters.channels.sns import SnsDeliverer
from cloud_functions.adapters.channels.stepfunctions import StepFunctionsDeliverer
from cloud_functions.adapters.channels.webhook import SIGNATURE, WebhookDeliverer, build, sign
from cloud_functions.adapters.secrets import CACHE_MS, Secrets
from cloud_functions.adapters.sqs import SqsOutbox, SqsVisibility
from cloud_functions.core import channels
from cloud_functions.core.alert import Origin, State, merge
from cloud_functions.core.channels import Channel, ChannelType
from cloud_functions.core.cloudevents import envelope, member, notification
from cloud_functions.core.configuration import Configuration
from cloud_functions.core.deliveries import Delivery, DeliveryError
from cloud_functions.core.documents import Documents
from cloud_functions.core.errors import StoreError
from cloud_functions.core.messages import opsgenie, pagerduty, slack, teams, text
from cloud_functions.core.severity import AlertKind
from tests.unit.cloud.fakes import NOW_MS, FakeTable, report
from wire.model import Phase

HOSTILE = "<script>@here</script> & *bold* [x](http://evil)\r\nBcc: eve@example.com"
KEY = {"secret": "ssm:k"}
LINK = "https://alerts.example.com/"
TOPIC = "arn:aws:sns:us-east-1:123456789012:other"


def event(state: State = State.FIRING, summary: str = "") -> dict[str, Any]:
    origin = Origin(AlertKind.RULE, "hot", "critical", summary)
    alert = merge(None, "gw-1", report(), NOW_MS, origin=origin)
    if state is State.RESOLVED:
        alert = merge(alert, "gw-1", report(Phase.END, 125_000), NOW_MS, origin)
    return envelope(alert, state)


def grouped(number: int = 3, summary: str = "") -> dict[str, Any]:
    members = [member(event(summary=summary)) | {"id": f"{at:02x}"} for at in range(number)]
    return notification("n1", "people", "gw-1/pump1", members, NOW_MS)


def delivery(channel: str = "c", **more: Any) -> Delivery:
    return Delivery(channel, "gw-1", event(**more))


def channel(kind: ChannelType, **settings_: Any) -> Channel:
    return channels.parse({"name": "c", "type": str(kind), **settings_})


class FakeClient:
    """Client of a service: records calls, and answers or raises per operation."""

    def __init__(self, **answers: Any) -> None:
        self.answers, self.calls = answers, list[tuple[str, dict[str, Any]]]()

    def __getattr__(self, operation: str) -> Any:
        def call(**request: Any) -> Any:
            self.calls.append((operation, request))
            answer = self.answers.get(operation, {})
            if isinstance(answer, Exception):
                raise answer
            return answer(request) if callable(answer) else answer

        return call


def failure(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "operation")


def test_sns_receives_json_with_attributes_and_a_text_for_email() -> None:
    client = FakeClient()
    pairs = [(delivery(), channel(ChannelType.SNS)), (delivery(), channel(ChannelType.SNS, topic=TOPIC))]
    assert SnsDeliverer("arn:default", LINK, client).deliver(pairs) == ["", ""]
    assert [request["TopicArn"] for _, request in client.calls] == ["arn:default", TOPIC]
    (entry,) = client.calls[0][1]["PublishBatchRequestEntries"]
    attributes = {name: value["StringValue"] for name, value in entry["MessageAttributes"].items()}
    assert attributes == {
        "type": "io.strandline.alert.firing.v1",
        "gateway": "gw-1",
        "series": "pump0.temperature",
        "severity": "critical",
        "kind": "rule",
        "state": "firing",
        "idempotency_key": pairs[0][0].key,
    }
    forms = json.loads(entry["Message"])
    assert json.loads(forms["default"]) == event()
    assert "Value: 31 Cel" in forms["email"]
    assert f"{LINK}#/alerts/{event()['data']['id']}" in forms["email"]
    assert entry["Subject"].startswith("[CRITICAL] firing: gw-1: pump0.temperature")


def test_sns_publishes_ten_at_once_and_names_those_that_failed() -> None:
    client = FakeClient(publish_batch=lambda request: {"Failed": [{"Id": "3", "Code": "Throttled"}]})
    reasons = SnsDeliverer("arn:t", "", client).deliver([(delivery(), channel(ChannelType.SNS))] * 12)
    assert [len(request["PublishBatchRequestEntries"]) for _, request in client.calls] == [10, 2]
    assert [at for at, reason in enumerate(reasons) if reason] == [3]
    down = FakeClient(publish_batch=failure("InternalError"))
    assert all(SnsDeliverer("arn:t", "", down).deliver([(delivery(), channel(ChannelType.SNS))] * 2))


def test_eventbridge_receives_the_event_as_detail_and_failed_entries_are_named() -> None:
    client = FakeClient(put_events=lambda request: {"Entries": [{}, {"ErrorCode": "Throttled"}]})
    pairs = [(delivery(), channel(ChannelType.EVENTBRIDGE)), (delivery(), channel(ChannelType.EVENTBRIDGE, bus="b2"))]
    assert EventBridgeDeliverer("bus", client).deliver(pairs) == ["", "Throttled"]
    first, second = client.calls[0][1]["Entries"]
    assert (first["EventBusName"], second["EventBusName"]) == ("bus", "b2")
    assert (first["DetailType"], json.loads(first["Detail"])) == ("io.strandline.alert.firing.v1", event())


def test_mqtt_publishes_to_the_topic_of_the_gateway() -> None:
    client = FakeClient()
    assert MqttDeliverer(client).deliver([(delivery(), channel(ChannelType.MQTT))]) == [""]
    ((_, request),) = client.calls
    assert (request["topic"], request["qos"]) == ("strandline/v1/gw-1/alerts", 1)
    assert json.loads(request["payload"]) == event()


def test_an_execution_is_started_once_for_a_repeated_delivery() -> None:
    arn = "arn:aws:states:us-east-1:123456789012:stateMachine:flow"
    pair = (delivery(), channel(ChannelType.STEPFUNCTIONS, state_machine=arn))
    client = FakeClient()
    StepFunctionsDeliverer(client).deliver([pair, pair])
    names = {request["name"] for _, request in client.calls}
    assert len(names) == 1
    assert len(names.pop()) <= 80
    repeated = FakeClient(start_execution=failure("ExecutionAlreadyExists"))
    assert StepFunctionsDeliverer(repeated).deliver([pair]) == [""]
    missing = FakeClient(start_execution=failure("StateMachineDoesNotExist"))
    assert "StateMachineDoesNotExist" in StepFunctionsDeliverer(missing).deliver([pair])[0]


def test_an_email_has_a_subject_and_a_readable_text_with_escaped_html() -> None:
    client = FakeClient()
    mail = channel(ChannelType.EMAIL, to=["ada@example.com"])
    assert EmailDeliverer("a@b.c", "", LINK, client).deliver(
        [(Delivery("c", "gw-1", grouped(summary=HOSTILE)), mail)]
    ) == [""]
    ((_, request),) = client.calls
    content = request["Content"]["Simple"]
    assert content["Subject"]["Data"] == "[CRITICAL] gw-1/pump1: 3 firing"
    assert "\r" not in content["Body"]["Text"]["Data"]
    assert "<script>" not in content["Body"]["Html"]["Data"]
    assert request["Destination"] == {"ToAddresses": ["ada@example.com"]}


def test_an_email_without_a_verified_sender_goes_to_the_topic_for_people() -> None:
    client = FakeClient()
    mail = channel(ChannelType.EMAIL, to=["ada@example.com"])
    assert EmailDeliverer("", "arn:people", LINK, sns=client).deliver([(delivery(summary=HOSTILE), mail)]) == [""]
    ((_, request),) = client.calls
    assert request["TopicArn"] == "arn:people"
    assert "\n" not in request["Subject"]
    assert request["Message"].startswith("Alert: ")


class Collector(html.parser.HTMLParser):
    """Collects the tags of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)


@given(st.text(max_size=200))
def test_any_text_is_escaped_for_each_place_where_it_is_shown(hostile: str) -> None:
    one = event()
    data = one["data"] | {"summary": hostile, "comment": hostile, "series": hostile, "cause": hostile, "rule": ""}
    one = one | {"data": data}
    many = notification("n", "r", hostile, [member(one)] * 2, NOW_MS)
    for shown in (one, many):
        collector = Collector()
        collector.feed(text.html_body(shown, LINK))
        assert collector.tags <= {"html", "body", "h2", "table", "tr", "th", "td", "a", "hr", "p"}
        subject = text.subject(shown)
        assert subject.isprintable()
        assert len(subject) <= text.MAX_SUBJECT
        ascii_subject = text.ascii_subject(subject)
        assert ascii_subject.isascii()
        assert ascii_subject.isprintable()
        assert 0 < len(ascii_subject) <= 100
        of_slack = slack.payload(shown, LINK)
        markup = [of_slack["text"]] + [one["fallback"] for one in of_slack["attachments"]]
        assert not any(character in one for one in markup for character in "<>")
        assert all(kind in ("plain_text", "section", "header", "actions", "button") for kind in types_of(of_slack))
        assert set(types_of(teams.payload(shown, LINK))) <= {
            *("message", "AdaptiveCard", "RichTextBlock", "TextRun", "Action.OpenUrl"),
        }
        for payload in (of_slack, teams.payload(shown, LINK), pagerduty.payload(shown, "k", LINK)):
            json.dumps(payload)


def types_of(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["type"]] if "type" in node else []
        return own + [kind for child in node.values() for kind in types_of(child)]
    return [kind for child in node for kind in types_of(child)] if isinstance(node, list) else []


def test_a_text_names_cause_value_expectation_duration_and_link() -> None:
    lines = text.body(event(State.RESOLVED, "Pump is hot"), LINK).splitlines()
    assert "Alert: gw-1: pump0.temperature: Pump is hot: 31 Cel" in lines
    assert "State: resolved (critical)" in lines
    assert "Cause: hot" in lines
    assert "Value: 31 Cel" in lines
    assert "Expected: 20 Cel" in lines
    assert "Duration: 2 min 5 s" in lines
    assert lines[-1].startswith(f"Link: {LINK}#/alerts/")


def test_a_notification_of_many_alerts_lists_some_and_counts_the_others() -> None:
    found = text.body(grouped(30))
    assert found.count("Alert: ") == 20
    assert found.endswith("and 10 more alerts\n")
    assert len(slack.payload(grouped(30), LINK)["attachments"][0]["blocks"]) <= 50


@pytest.mark.parametrize(
    ("state", "action"),
    [(State.FIRING, "trigger"), (State.ACKNOWLEDGED, "acknowledge"), (State.RESOLVED, "resolve")],
)
def test_pagerduty_receives_one_incident_for_the_states_of_an_alert(state: State, action: str) -> None:
    payload = pagerduty.payload(event(state), "key", LINK)
    assert (payload["event_action"], payload["routing_key"]) == (action, "key")
    assert payload["dedup_key"] == event()["data"]["id"]
    assert payload["payload"]["severity"] == "critical"


@pytest.mark.parametrize(("state", "end"), [("firing", ""), ("acknowledged", "acknowledge"), ("resolved", "close")])
def test_opsgenie_receives_a_request_for_each_state(state: str, end: str) -> None:
    suffix, payload = opsgenie.request(event(State(state)), LINK)
    if end:
        assert suffix == f"/{event()['data']['id']}/{end}?identifierType=alias"
    else:
        assert (suffix, payload["alias"], payload["priority"]) == ("", event()["data"]["id"], "P1")


def test_a_generic_webhook_is_signed_with_a_time_and_has_an_idempotency_key() -> None:
    one = Delivery("c", "gw-1", grouped())
    hook = channel(ChannelType.WEBHOOK, url="https://example.com/a", **KEY)
    request = build(one, hook, "s3cret", 1_700_000_000_123)
    t, v1 = (part.split("=", 1)[1] for part in request.headers[SIGNATURE].split(","))
    digest = hmac.new(b"s3cret", f"{t}.".encode() + request.body, hashlib.sha256).hexdigest()
    assert (t, v1) == ("1700000000", digest)
    assert request.headers["Idempotency-Key"] == "n1/c"
    assert json.loads(request.body) == grouped()
    assert sign(request.body, "other", 1_700_000_000) != request.headers[SIGNATURE]


def test_the_key_of_a_service_is_sent_where_the_service_expects_it() -> None:
    for preset, secret in (("pagerduty", "ssm:k"), ("opsgenie", "ssm:k"), ("slack", None), ("teams", None)):
        hook = channel(ChannelType.WEBHOOK, url="https://example.com/a", preset=preset, secret=secret)
        request = build(delivery(), hook, "s3cret" if secret else "", NOW_MS)
        assert SIGNATURE not in request.headers
        where = request.headers.get("Authorization", "") + request.body.decode()
        assert ("s3cret" in where) is bool(secret)


@pytest.mark.parametrize(
    ("url", "addresses", "problem"),
    [
        ("https://example.com/a", ["10.0.0.1"], "does not resolve to public addresses"),
        ("https://example.com/a", ["93.184.216.34", "169.254.169.254"], "does not resolve to public addresses"),
        ("https://example.com/a", [], "does not resolve to public addresses"),
        ("http://127.0.0.1:1/a", ["127.0.0.1"], "https is required"),
    ],
)
def test_a_webhook_connects_to_no_internal_address(
    url: str, addresses: list[str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.create_connection", refuse)
    hook = channel(ChannelType.WEBHOOK, url=url)
    deliverer = WebhookDeliverer(Secrets(), resolve=lambda host, port: addresses)
    (reason,) = deliverer.deliver([(delivery(), hook)])
    assert problem in reason


def test_a_checked_address_is_the_one_that_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[str, int]] = []

    def refuse(address: tuple[str, int], timeout: float) -> None:
        tried.append(address)
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr("socket.create_connection", refuse)
    answers = iter([["93.184.216.34"], ["10.0.0.1"]])
    hook = channel(ChannelType.WEBHOOK, url="https://example.com/a")
    (reason,) = WebhookDeliverer(Secrets(), resolve=lambda *_: next(answers)).deliver([(delivery(), hook)])
    assert tried == [("93.184.216.34", 443)]
    assert "ConnectionRefusedError" in reason


def test_secrets_are_read_by_name_and_cached() -> None:
    now = [0]
    manager = FakeClient(get_secret_value={"SecretString": "a"})
    parameters = FakeClient(get_parameter={"Parameter": {"Value": "b"}})
    secrets = Secrets(manager, parameters, lambda: now[0])
    assert [secrets.get(name) for name in ("secretsmanager:x/y", "ssm:/z", "ssm:/z")] == ["a", "b", "b"]
    assert (len(manager.calls), len(parameters.calls)) == (1, 1)
    assert parameters.calls[0][1] == {"Name": "/z", "WithDecryption": True}
    now[0] = CACHE_MS
    secrets.get("ssm:/z")
    assert len(parameters.calls) == 2
    with pytest.raises(StoreError, match="read the secret ssm:/no"):
        Secrets(None, FakeClient(get_parameter=failure("ParameterNotFound"))).get("ssm:/no")


def test_a_failure_of_one_channel_has_no_effect_on_others() -> None:
    def fail(one: Delivery, to: Channel) -> None:
        if one.channel == "bad":
            raise DeliveryError("refused")

    hook = channel(ChannelType.WEBHOOK, url="https://example.com/a")
    pairs = [(delivery("good"), hook), (delivery("bad"), hook), (delivery("good"), hook)]
    assert each(pairs, fail) == ["", "refused", ""]


def test_an_outbox_sends_ten_messages_in_a_request_and_fewer_large_ones() -> None:
    client = FakeClient()
    outbox = SqsOutbox({"sns": "u"}, client)
    outbox.put("sns", ["x"] * 12)
    outbox.put("sns", ["y" * 150_000] * 3)
    assert [len(request["Entries"]) for _, request in client.calls] == [10, 2, 1, 1, 1]
    refusing = FakeClient(send_message_batch={"Failed": [{"Code": "InternalError"}]})
    with pytest.raises(StoreError, match="queue of sns: InternalError"):
        SqsOutbox({"sns": "u"}, refusing).put("sns", ["x"])


class FakeDeliverer:
    """Deliverer whose channels named in ``down`` fail."""

    def __init__(self, *down: str) -> None:
        self.down, self.delivered = down, list[str]()

    def deliver(self, pairs: list[tuple[Delivery, Channel]]) -> list[str]:
        good = [one.key for one, to in pairs if to.name not in self.down]
        self.delivered += good
        return ["" if one.key in good else "down" for one, _ in pairs]


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    urls = {str(kind): f"https://sqs/{kind}" for kind in ChannelType}
    monkeypatch.setattr(settings, "text", lambda name, default="x": json.dumps(urls) if "QUEUES" in name else default)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    sys.modules.pop("cloud_functions.notify.app", None)
    module = importlib.import_module("cloud_functions.notify.app")
    table = FakeTable()
    Documents(table, "channels", lambda: NOW_MS).put("bad", {"type": "mqtt"}, "Ada")
    monkeypatch.setattr(module, "configuration", Configuration(table, lambda: NOW_MS))
    module.fake = FakeDeliverer("bad")  # type: ignore[attr-defined]
    deliverers = Deliverers(Options(), dict.fromkeys(ChannelType, lambda options: module.fake))
    monkeypatch.setattr(module, "deliverers", deliverers)
    module.sqs = FakeClient()  # type: ignore[attr-defined]
    monkeypatch.setattr(module, "visibility", SqsVisibility(urls, module.sqs))
    yield module
    sys.modules.pop("cloud_functions.notify.app", None)


def run(app: ModuleType, *bodies: str, attempt: int = 1) -> list[str]:
    records = [
        {
            "messageId": f"m{at}",
            "receiptHandle": f"h{at}",
            "body": body,
            "eventSourceARN": "arn:aws:sqs:us-east-1:1:mqtt",
            "attributes": {"ApproximateReceiveCount": str(attempt)},
        }
        for at, body in enumerate(bodies)
    ]
    context = SimpleNamespace(
        function_name="notify", memory_limit_in_mb=256, invoked_function_arn="arn", aws_request_id="1"
    )
    answer = app.lambda_handler({"Records": records}, context)
    return [one["itemIdentifier"] for one in answer["batchItemFailures"]]


def test_a_failed_delivery_is_repeated_after_its_delay_and_others_are_not(app: ModuleType) -> None:
    good, bad = delivery("default-mqtt"), delivery("bad")
    assert run(app, good.to_json(), bad.to_json(), "no delivery", attempt=3) == ["m1", "m2"]
    assert app.fake.delivered == [good.key]
    delays = [request["VisibilityTimeout"] for _, request in app.sqs.calls]
    assert delays == [45, 45]
    assert app.sqs.calls[0][1]["QueueUrl"] == "https://sqs/mqtt"


def test_a_delivery_to_a_channel_that_was_deleted_is_dropped_and_counted(app: ModuleType) -> None:
    assert run(app, delivery("gone").to_json()) == []
    assert app.metrics.counts["deliveries_without_channel"] == 1
