"""Alerts in the local cloud: each example of docs/subscribers.md receives them, and channels are independent."""

from __future__ import annotations

import io
import json
import re
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cloud_functions.core import keys
from device_sim.aws.local import LocalCloud
from device_sim.aws.store import CloudStore
from tests.http_server import http_server
from tests.waiting import until

REPO = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"```python\n(.*?)```", (REPO / "docs" / "subscribers.md").read_text(), re.S)
SCHEMAS = {
    name: json.loads((REPO / "cloud_functions" / "schemas" / f"{name}.v1.json").read_text())
    for name in ("alert", "notification")
}
SECRET = "a-secret-of-the-test"  # noqa: S105 - of this test only
STACK = "strandline"


def page() -> dict[str, Any]:
    """Return the names that the examples of the page define."""
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(compile(block, "docs/subscribers.md", "exec"), names)  # noqa: S102 - the page is part of the repository
    return names


class Site:
    """The local cloud with every subscriber of the page."""

    def __init__(self, cloud: LocalCloud, stack: ExitStack) -> None:
        self.cloud, self.store, self.page = cloud, CloudStore(cloud), page()
        self.mqtt: list[dict[str, Any]] = []
        self.hooks: list[dict[str, Any]] = []
        self.refused: list[str] = []
        self._subscribe(stack)
        self._configure(stack)

    def _subscribe(self, stack: ExitStack) -> None:
        cloud = self.cloud
        credentials = cloud.provision_gateway("gw-1")
        files = (str(credentials.ca), str(credentials.cert), str(credentials.key))
        client = self.page["subscribe_to_alerts"](credentials.host, credentials.port, "gw-1", *files, self.mqtt.append)
        stack.callback(client.loop_stop)
        stack.callback(client.disconnect)
        sqs, sns, iam = cloud.client("sqs"), cloud.client("sns"), cloud.client("iam")
        self.queue = sqs.create_queue(QueueName="critical")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        allow = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allow | {"Resource": arn}]})
        sqs.set_queue_attributes(QueueUrl=self.queue, Attributes={"Policy": policy})
        self.page["subscribe_queue"](sns, cloud.outputs["AlertsTopicArn"], arn)
        trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "*"}, "Action": "sts:AssumeRole"}]}
        role = iam.create_role(RoleName="anything", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        logs = {"Statement": [{"Effect": "Allow", "Action": "logs:*", "Resource": "*"}], "Version": "2012-10-17"}
        iam.put_role_policy(RoleName="anything", PolicyName="logs", PolicyDocument=json.dumps(logs))
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as package:
            package.writestr("on_alert.py", self.page["HANDLER"])
        functions = cloud.client("lambda")
        created = functions.create_function(
            FunctionName="on-alert",
            Runtime="python3.12",
            Role=role,
            Handler="on_alert.handler",
            Code={"ZipFile": code.getvalue()},
        )
        functions.add_permission(
            FunctionName="on-alert",
            StatementId="events",
            Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com",
        )
        bus = cloud.outputs["AlertsBusName"]
        self.page["send_critical_alerts_to"](cloud.client("events"), bus, created["FunctionArn"])
        self.machine = self.page["create_workflow"](cloud.client("stepfunctions"), role)

    def _configure(self, stack: ExitStack) -> None:
        secrets = self.cloud.client("secretsmanager")
        secrets.create_secret(Name=f"{STACK}/webhook", SecretString=SECRET)
        hook = stack.enter_context(http_server(self.page["receiver"](SECRET, self.hooks.append)))
        failing = stack.enter_context(http_server(_failing(self.refused)))
        self.cloud.client("sesv2").create_email_identity(EmailIdentity="alerts@example.com")
        secret = f"secretsmanager:{STACK}/webhook"
        channels: dict[str, dict[str, Any]] = {
            "hook": {"type": "webhook", "url": f"{hook}/hook", "secret": secret},
            "broken": {"type": "webhook", "url": f"{failing}/hook"},
            "mail": {"type": "email", "to": ["ada@example.com"]},
            "flow": {"type": "stepfunctions", "state_machine": self.machine},
        }
        for name, channel in channels.items():
            self.put("channels", name, channel)
        route = {"channels": ["broken", "hook", "mail", "flow"], "group_interval_s": 1, "gateways": "gw-1"}
        self.put("routes", "people", route)
        self.put(
            "rules", "hot", {"condition": {"type": "threshold", "above": 80}, "severity": "critical", "summary": "Hot"}
        )

    def put(self, kind: str, name: str, body: dict[str, Any]) -> None:
        status, answer = self.cloud.call_api("PUT", f"/v1/{kind}/{name}", body)
        assert status in (200, 201), answer

    def post(self, value: float, series: str = "pump1/temperature", gateway: str = "gw-1") -> None:
        """Post a reading over HTTP, as a device without a gateway does."""
        reading = {"series": series, "time": int(time.time() * 1000), "value": value, "unit": "Cel"}
        body = {"id": f"{time.time_ns()}", "readings": [reading]}
        status, answer = self.cloud.call_api("POST", f"/v1/gateways/{gateway}/telemetry", body)
        assert status == 202, answer

    def messages(self) -> list[dict[str, Any]]:
        answer = self.cloud.client("sqs").receive_message(
            QueueUrl=self.queue, MaxNumberOfMessages=10, VisibilityTimeout=0, WaitTimeSeconds=0
        )
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]

    def printed(self) -> list[str]:
        return [line for line in self.lines("on-alert") if line.startswith("ALERT")]

    def lines(self, function: str) -> list[str]:
        """Return the lines in the logs of a function."""
        logs = self.cloud.client("logs")
        names = [one["logGroupName"] for one in logs.describe_log_groups()["logGroups"]]
        found = []
        for name in names:
            if function in name:
                found += [one["message"] for one in logs.filter_log_events(logGroupName=name)["events"]]
        return [line.strip() for line in found]

    def metrics(self, function: str) -> list[dict[str, Any]]:
        """Return the metrics of the invocations of a function, in any order."""
        return [json.loads(line) for line in self.lines(function) if line.startswith('{"_aws"')]

    def mails(self) -> list[dict[str, Any]]:
        url = f"{self.cloud.endpoint_url}/_ministack/ses/messages"
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - loopback
            return [one for messages in json.load(answer)["messages"].values() for one in messages]


def _failing(refused: list[str]) -> type[BaseHTTPRequestHandler]:
    class Failing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            refused.append(str(self.headers["Idempotency-Key"]))
            self.send_response(503)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    return Failing


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    parameters = {"WebhookLoopback": "on", "EmailFrom": "alerts@example.com", "SilentAfterMs": "1000"}
    with ExitStack() as stack:
        cloud = stack.enter_context(LocalCloud.start(tmp_path_factory.mktemp("alerts"), parameters=parameters))
        yield Site(cloud, stack)


@pytest.fixture(scope="module")
def fired(site: Site) -> Site:
    """The site after a rule fired for data that was posted over HTTP, and after its end."""
    site.post(90.0)
    until(lambda: _watched(site, lambda: bool(site.mqtt)), "the alert reaches the site")
    site.post(70.0)
    until(lambda: _watched(site, lambda: len(site.mqtt) == 2), "its end reaches the site")
    return site


def _watched(site: Site, reached: Callable[[], bool]) -> bool:
    if not reached():
        site.cloud.watch()
    return reached()


def test_the_example_of_mqtt_receives_each_transition_of_an_alert_of_posted_data(fired: Site) -> None:
    assert [one["type"] for one in fired.mqtt] == ["io.strandline.alert.firing.v1", "io.strandline.alert.resolved.v1"]
    data = fired.mqtt[0]["data"]
    assert (data["series"], data["rule"], data["observed"], data["upper"]) == ("pump1/temperature", "hot", 90.0, 80.0)
    for event in fired.mqtt:
        jsonschema.validate(event, SCHEMAS["alert"])


def test_the_example_of_a_filter_policy_receives_critical_alerts(fired: Site) -> None:
    found = until(lambda: fired.messages() or None, "a message in the queue")
    assert {one["data"]["rule"] for one in found} == {"hot"}


def test_the_example_of_eventbridge_invokes_the_function(fired: Site) -> None:
    (line, *_) = until(lambda: fired.printed() or None, "the function printed the alert")
    assert line.startswith("ALERT gw-1 pump1/temperature gw-1: pump1/temperature: Hot")


def test_the_example_of_step_functions_runs_once_for_each_transition(fired: Site) -> None:
    states = fired.cloud.client("stepfunctions")

    def executions() -> list[dict[str, Any]] | None:
        found = states.list_executions(stateMachineArn=fired.machine)["executions"]
        return found if len(found) == 2 and {one["status"] for one in found} == {"SUCCEEDED"} else None

    until(executions, "two executions")


def test_the_example_of_a_webhook_receives_signed_notifications_while_another_one_fails(fired: Site) -> None:
    until(lambda: _watched(fired, lambda: len(fired.hooks) >= 2), "both notifications")
    for event in fired.hooks:
        jsonschema.validate(event, SCHEMAS["notification"])
    states = [one["state"] for event in fired.hooks for one in event["data"]["alerts"]]
    assert sorted(states) == ["firing", "resolved"]
    # The failing webhook of the same route is repeated with the same key, and neither delays nor repeats the others.
    until(lambda: len(fired.refused) > len(set(fired.refused)), "the failing webhook is repeated")
    assert all(key.endswith("/broken") for key in fired.refused)
    assert len(fired.hooks) == 2


def test_an_email_has_a_subject_and_a_readable_text(fired: Site) -> None:
    (mail, *_) = until(lambda: fired.mails() or None, "an e-mail")
    text = json.dumps(mail)
    assert "[CRITICAL] firing: gw-1: pump1/temperature: Hot" in text
    assert "Value: 90 Cel" in text


def test_a_silent_gateway_is_an_alert_that_ends_when_data_comes_again(site: Site) -> None:
    for _ in range(5):
        site.post(20.0, "fan/speed", "device-1")
        site.cloud.watch()

    def silence(state: str) -> Callable[[], bool]:
        def reached() -> bool:
            found = [one for one in site.store.alerts("device-1") if one["kind"] == "silence" and not one["series"]]
            return [one["state"] for one in found] == [state]

        return lambda: _watched(site, reached)

    until(silence("firing"), "the gateway is silent", 90)
    site.post(20.0, "fan/speed", "device-1")
    until(silence("resolved"), "it returned")


def test_a_dry_run_over_the_api_counts_what_a_rule_would_have_fired(fired: Site) -> None:
    now_ms = int(time.time() * 1000)
    rule = {"condition": {"type": "threshold", "above": 60}, "series": "pump1/*"}
    body = {"rule": rule, "from": now_ms - 3_600_000, "to": now_ms}
    status, answer = fired.cloud.call_api("POST", "/v1/rules/dry-run", body)
    assert (status, answer["count"], answer["series_evaluated"]) == (200, 1, 1)
    assert answer["firings"][0]["peak"] == 90.0


def test_progress_of_the_timer_is_stored_for_each_gateway(fired: Site) -> None:
    key = keys.watched("gw-1")
    table = fired.cloud.outputs["AlertsTableName"]
    item = fired.cloud.client("dynamodb").get_item(TableName=table, Key={"pk": {"S": key.pk}, "sk": {"S": key.sk}})
    assert item["Item"]["kind"] == {"S": "watched"}


def test_the_timer_starts_further_runs_when_the_last_ones_took_long(fired: Site) -> None:
    table, dynamodb = fired.cloud.outputs["AlertsTableName"], fired.cloud.client("dynamodb")
    for shard in range(3):
        key = keys.watch_shard(shard)
        dynamodb.update_item(
            TableName=table,
            Key={"pk": {"S": key.pk}, "sk": {"S": key.sk}},
            UpdateExpression="SET took_ms = :t",
            ExpressionAttributeValues={":t": {"N": "30000"}},
        )
    before = len(fired.metrics("WatchLogs"))
    fired.cloud.watch()

    def runs() -> list[dict[str, Any]] | None:
        found = fired.metrics("WatchLogs")
        started = sum(one.get("started_workers", 0) for one in found)
        return found if started and len(found) >= before + 1 + started else None

    found = until(runs, "the runs that were started ended")
    # 90 seconds and the little that the other shards took, at 30 seconds a run.
    assert [one["started_workers"] for one in found if "started_workers" in one] == [3]
    assert not any("failed_steps" in one for one in found)
