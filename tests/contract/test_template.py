"""The SAM template is consistent with wire and code, and its resources are encrypted, bounded and retained."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloud_functions.api.table import ROUTES
from cloud_functions.core.channels import ChannelType
from cloud_functions.core.columns import COLUMNS
from cloud_functions.core.watch import LEASE_MS
from cloud_functions.costs import fleet_cost
from cloud_functions.forecast.routes import ROUTES as FORECAST_ROUTES
from strandline.commands.gateway import provision_command
from wire import topics
from wire.model import FLOAT_COLUMNS
from wire.topics import Lane

REPO = Path(__file__).resolve().parents[2]
CLOUD_FUNCTIONS = REPO / "cloud_functions"


class _Loader(yaml.CSafeLoader):
    """Loader of CloudFormation's short forms: ``!Ref x`` as {"Ref": x}, ``!GetAtt a.b`` as {"GetAtt": "a.b"}."""


def _short_form(loader: _Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.SequenceNode):
        return {tag: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.ScalarNode), f"!{tag} of a mapping"
    return {tag: loader.construct_scalar(node)}


_Loader.add_multi_constructor("!", _short_form)

TEMPLATE: dict[str, Any] = yaml.load((CLOUD_FUNCTIONS / "template.yaml").read_text(), _Loader)  # noqa: S506 - a SafeLoader
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    return {name: r["Properties"] for name, r in RESOURCES.items() if r["Type"] == kind}


FUNCTIONS = of_type("AWS::Serverless::Function")
QUEUES = of_type("AWS::SQS::Queue")
TABLES = of_type("AWS::DynamoDB::Table")
RULES = of_type("AWS::IoT::TopicRule")
ROLES = of_type("AWS::IAM::Role")
CHANNELS = ("Sns", "Email", "Webhook", "EventBridge", "Mqtt", "StepFunctions")
"""Types of channels, each with its own queue."""
DEAD_LETTERS = {
    *("IngestDeadLetters", "RuleDeadLetters", "AlertingDeadLetters", "CompactionDeadLetters"),
    *(f"{name}DeadLetters" for name in CHANNELS),
}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def named(value: Any) -> str:
    """Return a reference as text: the resource's name, with the attribute unless it is the ARN."""
    if isinstance(value, str):
        return value
    ((_, text),) = value.items()
    return str(text).removesuffix(".Arn").replace("arn:${AWS::Partition}:iot:${AWS::Region}:${AWS::AccountId}:", "")


ALERTS = ("GetItem", "Query", "PutItem", "DeleteItem", "BatchWriteItem")
CHANNEL_QUEUES = tuple(f"{name}Queue" for name in CHANNELS)
ARN, ACCOUNT = "arn:${AWS::Partition}", "${AWS::Region}:${AWS::AccountId}"
OWN_NAMES = f"{ACCOUNT}:${{AWS::StackName}}-*"
COMPACTION = ("GetItem", "BatchGetItem", "Query", "PutItem", "DeleteItem", "BatchWriteItem")
INDEXES = (("AlertsTable", "by_state"), ("TelemetryTable", "by_time"))


def grants(role: str) -> set[tuple[str, str]]:
    statements = [s for policy in ROLES[role]["Policies"] for s in policy["PolicyDocument"]["Statement"]]
    assert all(statement["Effect"] == "Allow" for statement in statements)
    return {(a, named(r)) for s in statements for a in listed(s["Action"]) for r in listed(s["Resource"])}


def test_each_role_has_exactly_the_permissions_that_its_code_needs() -> None:
    receive = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility")
    stream = ("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator")
    write = ("dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:BatchWriteItem")
    logs = ("logs:CreateLogStream", "logs:PutLogEvents")
    traces = {("xray:PutTraceSegments", "*"), ("xray:PutTelemetryRecords", "*")}
    wanted = {
        "RuleRole": {("sqs:SendMessage", queue) for queue in ("UrgentQueue", "BulkQueue", "RuleDeadLetters")},
        "IngestRole": {(a, queue) for a in receive for queue in ("UrgentQueue", "BulkQueue")}
        | {(a, "TelemetryTable") for a in (*write, "dynamodb:BatchGetItem")}
        | {("sqs:SendMessage", "IngestDeadLetters"), ("iot:Publish", "topic/strandline/v1/*/ack")}
        | {(a, "IngestLogs") for a in logs},
        "AlertingRole": {(a, f"{table}.StreamArn") for a in stream for table in ("TelemetryTable", "AlertsTable")}
        | {("dynamodb:ListStreams", "*")}
        | {(f"dynamodb:{a}", "AlertsTable") for a in (*ALERTS, "BatchGetItem")}
        | {("sqs:SendMessage", queue) for queue in ("AlertingDeadLetters", *CHANNEL_QUEUES)}
        | {(a, "AlertingLogs") for a in logs},
        "WatchRole": {(f"dynamodb:{a}", "TelemetryTable") for a in ("GetItem", "BatchGetItem", "Query")}
        | {(f"dynamodb:{a}", "AlertsTable") for a in (*ALERTS, "BatchGetItem")}
        | {("dynamodb:Query", f"${{{name}.Arn}}/index/{index}") for name, index in INDEXES}
        | {("sqs:SendMessage", queue) for queue in CHANNEL_QUEUES}
        | {("lambda:InvokeFunction", f"{ARN}:lambda:{ACCOUNT}:function:${{AWS::StackName}}-WatchFunction-*")}
        | {(a, "WatchLogs") for a in logs},
        "NotifyRole": {(a, queue) for a in receive for queue in CHANNEL_QUEUES}
        | {("dynamodb:Query", "AlertsTable"), ("events:PutEvents", "AlertsBus")}
        | {("sns:Publish", topic) for topic in ("AlertsTopic", "NotificationsTopic", f"{ARN}:sns:{OWN_NAMES}")}
        | {("events:PutEvents", f"{ARN}:events:{ACCOUNT}:event-bus/${{AWS::StackName}}-*")}
        | {("states:StartExecution", f"{ARN}:states:{ACCOUNT}:stateMachine:${{AWS::StackName}}-*")}
        | {("ses:SendEmail", f"{ARN}:ses:{ACCOUNT}:identity/*")}
        | {("secretsmanager:GetSecretValue", f"{ARN}:secretsmanager:{ACCOUNT}:secret:${{AWS::StackName}}/*")}
        | {("ssm:GetParameter", f"{ARN}:ssm:{ACCOUNT}:parameter/${{AWS::StackName}}/*")}
        | {("iot:Publish", "topic/strandline/v1/*/alerts")}
        | {(a, "NotifyLogs") for a in logs},
        "CompactionRole": {(f"dynamodb:{a}", "TelemetryTable") for a in COMPACTION}
        | {("dynamodb:Query", "${TelemetryTable.Arn}/index/by_time"), ("s3:ListBucket", "ArchiveBucket")}
        | {(f"s3:{a}Object", "${ArchiveBucket.Arn}/*") for a in ("Get", "Put", "Delete")}
        | {(a, "CompactionQueue") for a in (*receive, "sqs:SendMessage")}
        | {("sqs:SendMessage", "IngestDeadLetters")}
        | {(a, "CompactionLogs") for a in logs},
        "ApiRole": {(a, "TelemetryTable") for a in (*write, "dynamodb:BatchGetItem")}
        | {(f"dynamodb:{a}", "AlertsTable") for a in ("GetItem", "Query", "PutItem")}
        | {("dynamodb:Query", f"${{{name}.Arn}}/index/{index}") for name, index in INDEXES}
        | {("lambda:InvokeFunction", "ArchiveFunction.Alias")}
        | {(a, "ApiLogs") for a in logs},
        "ArchiveRole": {("dynamodb:GetItem", "TelemetryTable"), ("s3:ListBucket", "ArchiveBucket")}
        | {("s3:GetObject", "${ArchiveBucket.Arn}/*")}
        | {(a, "ArchiveLogs") for a in logs},
        "ForecastRole": {(f"dynamodb:{a}", "TelemetryTable") for a in ("GetItem", "BatchGetItem", "Query")}
        | {("dynamodb:Query", "${TelemetryTable.Arn}/index/by_time")}
        | {(a, "ForecastLogs") for a in logs},
    }
    assert set(ROLES) == set(wanted)
    for role, permissions in wanted.items():
        assert grants(role) == permissions | (set() if role == "RuleRole" else traces), role


EVERY_RESOURCE = {
    "dynamodb:ListStreams",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    *(f"greengrass:{name}" for name in ("GetComponentVersionArtifact", "GetDeploymentConfiguration")),
    *(f"greengrass:{name}" for name in ("ListThingGroupsForCoreDevice", "ResolveComponentCandidates")),
    # In the policy of a key, * is the key.
    *(f"kms:{name}" for name in ("*", "Decrypt", "GenerateDataKey*")),
}
"""Actions that accept no resource, or whose policy is attached to the resource."""


def statements(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every statement of every policy in a part of the template."""
    if isinstance(node, dict):
        if "Effect" in node:
            yield node
        for child in node.values():
            yield from statements(child)
    elif isinstance(node, list):
        for child in node:
            yield from statements(child)


def test_a_permission_on_every_resource_is_one_that_cannot_name_one_and_has_a_comment() -> None:
    for statement in statements(RESOURCES):
        if statement["Effect"] == "Allow" and "*" in listed(statement.get("Resource", [])):
            assert set(listed(statement["Action"])) <= EVERY_RESOURCE, statement
    lines = (CLOUD_FUNCTIONS / "template.yaml").read_text().splitlines()
    for at, line in enumerate(lines):
        if re.fullmatch(r'\s+Resource: "\*"', line):
            begin = max(n for n in range(at) if "- Effect:" in lines[n])
            policy_of_key = "kms:" in "".join(lines[begin:at])
            assert policy_of_key or any("#" in one for one in lines[begin:at]), f"line {at + 1}: give the reason"


def test_no_action_is_a_wildcard_except_for_the_owner_of_a_key() -> None:
    wide = {
        action
        for statement in statements(RESOURCES)
        if statement["Effect"] == "Allow"
        for action in listed(statement["Action"])
        if "*" in action
    }
    assert wide == {"kms:*", "kms:GenerateDataKey*"}


def test_every_exception_of_checkov_has_a_reason() -> None:
    lines = (REPO / ".checkov.yaml").read_text().split("skip-check:\n", 1)[1].splitlines()
    reason = ""
    for line in lines:
        if line.startswith("  # "):
            reason = f"{reason} {line[4:]}" if reason and not reason.endswith("|") else line[4:]
        else:
            assert re.fullmatch(r"  - CKV_AWS_\d+", line)
            assert len(reason.rstrip("|")) > 60, line
            reason = reason.rstrip("|") + "|"


def test_every_function_has_its_own_role_that_only_lambda_can_assume() -> None:
    roles = [named(function["Role"]) for function in FUNCTIONS.values()]
    assert len(set(roles)) == len(FUNCTIONS) == 8
    for role in roles:
        (statement,) = ROLES[role]["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
        assert "ManagedPolicyArns" not in ROLES[role]


def test_every_log_group_has_a_retention_period() -> None:
    for function in FUNCTIONS.values():
        group = of_type("AWS::Logs::LogGroup")[named(function["LoggingConfig"]["LogGroup"])]
        assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_the_functions_run_on_arm_and_a_supported_python() -> None:
    shared = TEMPLATE["Globals"]["Function"]
    assert shared["Architectures"] == ["arm64"]
    assert shared["Runtime"] == {"Ref": "Runtime"}
    assert TEMPLATE["Parameters"]["Runtime"]["Default"] in ("python3.12", "python3.13")
    assert shared["Tracing"] == {"Ref": "Tracing"}
    assert shared["Environment"]["Variables"]["STACK_NAME"] == {"Ref": "AWS::StackName"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_handler_exists_and_its_variables_are_set(name: str) -> None:
    module = FUNCTIONS[name]["Handler"].removesuffix(".lambda_handler")
    source = (REPO / (module.replace(".", "/") + ".py")).read_text()
    assert "def lambda_handler(" in source
    assert FUNCTIONS[name]["CodeUri"] == f"../build/lambda/{module.split('.')[1]}"
    read = set(re.findall(r'settings\.(?:text|number|optional)\("([A-Z_]+)"', source))
    assert read == {*FUNCTIONS[name]["Environment"]["Variables"], "STACK_NAME"}


def test_queues_are_encrypted_and_those_that_a_function_reads_have_dead_letter_queues() -> None:
    read = {named(one["Queue"]) for name in FUNCTIONS for one in sources(name) if one["Type"] == "SQS"}
    assert read >= {"UrgentQueue", "BulkQueue"}
    for name, queue in QUEUES.items():
        assert queue["SqsManagedSseEnabled"] is True, name
        if name == "CompactionQueue":  # its tasks are planned again
            assert named(queue["RedrivePolicy"]["deadLetterTargetArn"]) == "CompactionDeadLetters"
            assert queue["VisibilityTimeout"] >= 6 * FUNCTIONS["CompactionFunction"]["Timeout"]
            continue
        assert queue["MessageRetentionPeriod"] == 14 * 86_400, name
        if name in CHANNEL_QUEUES:
            dead = name.replace("Queue", "DeadLetters")
            assert named(queue["RedrivePolicy"]["deadLetterTargetArn"]) == dead
            assert queue["VisibilityTimeout"] >= 6 * FUNCTIONS["NotifyFunction"]["Timeout"]
        elif name in read:
            assert named(queue["RedrivePolicy"]["deadLetterTargetArn"]) == "IngestDeadLetters"
            assert 3 <= queue["RedrivePolicy"]["maxReceiveCount"] <= 10
            assert queue["VisibilityTimeout"] >= 6 * TEMPLATE["Globals"]["Function"]["Timeout"]
    assert set(QUEUES) >= DEAD_LETTERS


def test_tables_are_encrypted_recoverable_retained_and_expire_items() -> None:
    for name, table in TABLES.items():
        assert table["SSESpecification"] == {"SSEEnabled": True}, name
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
        assert RESOURCES[name]["DeletionPolicy"] == RESOURCES[name]["UpdateReplacePolicy"] == "Retain"
    assert TABLES["TelemetryTable"]["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}
    assert TABLES["AlertsTable"]["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}


def test_the_topics_are_encrypted_and_that_of_alarms_by_a_key_that_cloudwatch_may_use() -> None:
    keys = {name: topic["KmsMasterKeyId"] for name, topic in of_type("AWS::SNS::Topic").items()}
    assert keys == {
        "AlertsTopic": "alias/aws/sns",
        "NotificationsTopic": "alias/aws/sns",
        "OperatorTopic": {"Ref": "OperatorKey"},
    }
    (key,) = of_type("AWS::KMS::Key").values()
    services = [s["Principal"].get("Service") for s in key["KeyPolicy"]["Statement"]]
    assert "cloudwatch.amazonaws.com" in services
    assert key["EnableKeyRotation"] is True


SELECT = (
    "SELECT encode(*, 'base64') AS data, topic() AS topic, clientid() AS client, principal() AS principal, "
    "timestamp() AS received_at FROM '{}'"
)


@pytest.mark.parametrize("lane", Lane)
def test_each_lane_has_a_rule_with_its_basic_ingest_name(lane: Lane) -> None:
    reserved, rules, rule_name, topic = topics.ingest("gw-1", lane, "${RulePrefix}").split("/", 3)
    assert (reserved, rules) == ("$aws", "rules")
    (rule,) = (rule for rule in RULES.values() if named(rule["RuleName"]) == rule_name)
    assert rule["TopicRulePayload"]["Sql"] == SELECT.format(topic.replace("gw-1", "+"))
    assert rule["TopicRulePayload"]["AwsIotSqlVersion"] == "2016-03-23"


def test_each_rule_has_its_own_queue_and_an_error_action() -> None:
    fed = []
    for rule in RULES.values():
        payload = rule["TopicRulePayload"]
        (action,) = payload["Actions"]
        if "If" in action:
            condition, stream, action = action["If"]
            assert condition == "Stream"
            assert named(stream["Kinesis"]["StreamName"]) == "BulkStream"
            assert stream["Kinesis"]["PartitionKey"] == "${topic(3)}"
        fed.append(named(action["Sqs"]["QueueUrl"]))
        assert named(payload["ErrorAction"]["Sqs"]["QueueUrl"]) == "RuleDeadLetters"
        assert action["Sqs"]["UseBase64"] is False
    assert sorted(fed) == ["BulkQueue", "UrgentQueue"]
    assert len(RULES) == 2


OWN = "${!iot:Connection.Thing.ThingName}"


def gateway_policy() -> list[dict[str, Any]]:
    (policy,) = of_type("AWS::IoT::Policy").values()
    return list(policy["PolicyDocument"]["Statement"])


def gateway_grants(*actions: str) -> set[tuple[str, str]]:
    return {
        (action, named(resource))
        for statement in gateway_policy()
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
        if action in actions
    }


def test_a_gateways_policy_allows_the_topics_of_strandline_and_of_its_nucleus() -> None:
    published = {("iot:Publish", f"topic/{topics.ingest('gw-1', lane, '${RulePrefix}')}") for lane in Lane}
    received = {
        (action, f"{kind}/{topic}")
        for action, kind in (("iot:Subscribe", "topicfilter"), ("iot:Receive", "topic"))
        for topic in (
            topics.ack("gw-1"),
            topics.alerts("gw-1"),
            *(f"$aws/things/gw-1/{n}/*" for n in ("jobs", "shadow")),
        )
    }
    # Deployments come as jobs and through a named shadow; both nuclei report their health.
    for part in ("jobs/*", "shadow/*", "greengrass/health/json", "greengrassv2/health/json"):
        published.add(("iot:Publish", f"topic/$aws/things/gw-1/{part}"))
    wanted = {(action, resource.replace("gw-1", OWN)) for action, resource in published | received}
    assert gateway_grants("iot:Publish", "iot:Subscribe", "iot:Receive") == wanted


def test_a_gateway_connects_with_its_thing_name_and_the_java_nucleus_suffixes() -> None:
    (connect,) = (s for s in gateway_policy() if s["Action"] == "iot:Connect")
    assert [named(resource) for resource in connect["Resource"]] == [f"client/{OWN}", f"client/{OWN}#*"]
    assert connect["Condition"] == {"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}}


def test_a_gateways_policy_allows_no_topic_or_client_of_another_gateway() -> None:
    for statement in gateway_policy():
        assert statement["Effect"] == "Allow"
        for action in listed(statement["Action"]):
            assert "*" not in action
            if action in ("iot:Connect", "iot:Publish", "iot:Subscribe", "iot:Receive"):
                for resource in listed(statement["Resource"]):
                    assert f"/{OWN}" in named(resource)
                    assert "*" not in named(resource).partition(OWN)[0]


def test_a_nucleus_can_fetch_its_deployments_and_their_artifacts() -> None:
    assert gateway_grants("iot:AssumeRoleWithCertificate") == {
        ("iot:AssumeRoleWithCertificate", "rolealias/${TokenExchangeRoleAlias}")
    }
    (data_plane,) = (s for s in gateway_policy() if any(a.startswith("greengrass:") for a in listed(s["Action"])))
    assert data_plane["Resource"] == "*"
    assert {action.partition(":")[2] for action in data_plane["Action"]} == {
        "GetComponentVersionArtifact",
        "GetDeploymentConfiguration",
        "ListThingGroupsForCoreDevice",
        "ResolveComponentCandidates",
    }
    assert len(gateway_policy()) == 6


def sources(function: str) -> Iterator[dict[str, Any]]:
    for event in FUNCTIONS[function].get("Events", {}).values():
        yield event["Properties"] | {"Type": event["Type"]}


def test_ingest_reports_partial_failures_and_urgent_batches_have_their_own_queue() -> None:
    mappings = list(sources("IngestFunction"))
    assert [named(mapping["Queue"]) for mapping in mappings] == ["UrgentQueue", "BulkQueue"]
    for mapping in mappings:
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert mapping["ScalingConfig"]["MaximumConcurrency"] >= 2
        # Lambda requires a batching window for more than ten messages.
        assert mapping["BatchSize"] <= 10 or mapping["MaximumBatchingWindowInSeconds"] >= 1
    assert "MaximumBatchingWindowInSeconds" not in mappings[0]


def test_each_type_of_channel_has_its_own_queue_and_slow_ones_share_no_invocation() -> None:
    mappings = {named(mapping["Queue"]): mapping for mapping in sources("NotifyFunction")}
    assert set(mappings) == set(CHANNEL_QUEUES)
    for name, mapping in mappings.items():
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert mapping["BatchSize"] == (1 if name in ("EmailQueue", "WebhookQueue") else 10)
    names = {kind.lower() for kind in CHANNELS}
    assert names == {str(kind) for kind in ChannelType}


def test_watch_runs_each_minute_and_a_lease_is_longer_than_a_run() -> None:
    (schedule,) = sources("WatchFunction")
    assert schedule == {"Type": "Schedule", "Schedule": "rate(1 minute)"}
    assert FUNCTIONS["WatchFunction"]["Timeout"] * 1000 < LEASE_MS


def test_a_stream_in_the_place_of_the_bulk_queue_is_read_as_the_queue_is() -> None:
    conditional = {name for name, one in RESOURCES.items() if one.get("Condition") == "Stream"}
    assert {"BulkStream", "BulkStreamMapping", "BulkStreamSendPolicy", "BulkStreamReadPolicy"} <= conditional
    queue, stream = list(sources("IngestFunction"))[1], RESOURCES["BulkStreamMapping"]["Properties"]
    assert stream["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert stream["BatchSize"] == queue["BatchSize"]
    assert 1 <= stream["MaximumRetryAttempts"] <= 50  # its gateway sends a record again
    assert RESOURCES["BulkStream"]["Properties"]["StreamEncryption"]["EncryptionType"] == "KMS"
    for policy, role in (("BulkStreamSendPolicy", "RuleRole"), ("BulkStreamReadPolicy", "IngestRole")):
        properties = RESOURCES[policy]["Properties"]
        assert [named(one) for one in properties["Roles"]] == [role]
        assert [named(s["Resource"]) for s in properties["PolicyDocument"]["Statement"]] == ["BulkStream"]
    assert TEMPLATE["Parameters"]["KinesisMode"]["Default"] == "off"


def test_two_stacks_of_an_account_share_no_name() -> None:
    for name, one in RESOURCES.items():
        for key, value in one["Properties"].items():
            if key in ("RuleName", "Name", "TableName", "QueueName", "FunctionName", "BucketName", "DashboardName"):
                if one["Type"] in ("AWS::Lambda::Permission", "AWS::Lambda::EventSourceMapping"):
                    continue
                assert "${RulePrefix}" in named(value) or "${AWS::StackName}" in named(value), (name, key)


def test_the_limits_of_ingest_follow_from_its_measured_time_and_are_those_of_the_simulated_fleet() -> None:
    bulk, shared = list(sources("IngestFunction"))[1], TEMPLATE["Globals"]["Function"]
    queue = QUEUES["BulkQueue"]
    assert (
        fleet_cost.IngestLimits(
            batch_size=bulk["BatchSize"],
            concurrency=bulk["ScalingConfig"]["MaximumConcurrency"],
            visibility_s=queue["VisibilityTimeout"],
            receives=queue["RedrivePolicy"]["maxReceiveCount"],
            memory_mb=FUNCTIONS["IngestFunction"]["MemorySize"],
            timeout_s=shared["Timeout"],
        )
        == fleet_cost.INGEST_LIMITS
    )
    measured = fleet_cost.Measured.stored()
    limits, batch_s = fleet_cost.INGEST_LIMITS, measured.ingest_s
    # A full invocation takes a tenth of the timeout, so that it ends also if every request takes ten times as long.
    assert 10 * limits.batch_size * batch_s < limits.timeout_s
    # All together store at least twice the load of 10,000 gateways, and not much more than a new table takes.
    per_second = limits.concurrency / batch_s
    assert per_second > 2 * (fleet_cost.Fleet().batches + fleet_cost.Fleet().notices) / fleet_cost.MONTH_S
    assert 0.8 < per_second * measured.write_units / fleet_cost.NEW_TABLE_UNITS < 1.5


def test_a_stream_record_is_discarded_to_the_dead_letters_after_retries() -> None:
    kinds = []
    for mapping in sources("AlertingFunction"):
        assert mapping["DestinationConfig"]["OnFailure"]["Type"] == "SQS"
        assert named(mapping["DestinationConfig"]["OnFailure"]["Destination"]) == "AlertingDeadLetters"
        assert mapping["BisectBatchOnFunctionError"] is True
        assert 1 <= mapping["MaximumRetryAttempts"] <= 50
        assert mapping["StartingPosition"] == "TRIM_HORIZON"
        (one,) = mapping["FilterCriteria"]["Filters"]
        pattern = json.loads(one["Pattern"])
        kinds.append((named(mapping["Stream"]), pattern["eventName"], pattern["dynamodb"]["NewImage"]["kind"]["S"]))
    assert kinds == [
        ("TelemetryTable.StreamArn", ["INSERT"], ["anomaly"]),
        ("AlertsTable.StreamArn", ["INSERT", "MODIFY"], ["alert"]),
    ]


METHODS = ("GET", "POST", "PUT", "DELETE")


def api_routes(function: str) -> dict[str, dict[str, Any]]:
    """Return the template's routes to a function by their key."""
    return {
        str(route["RouteKey"]): route
        for route in of_type("AWS::ApiGatewayV2::Route").values()
        if named(route["Target"]) == f"integrations/${{{function}Integration}}"
    }


def test_the_template_routes_each_method_to_the_function_that_has_its_routes() -> None:
    assert set(api_routes("Forecast")) == {f"{route.method} {route.path}" for route in FORECAST_ROUTES}
    assert set(api_routes("Api")) == {f"{method} /v1/{{proxy+}}" for method in METHODS}
    assert {route.method for route in ROUTES} <= set(METHODS)
    assert all(route.path.startswith("/v1/") for route in ROUTES)


def test_every_route_requires_a_token_or_a_signature() -> None:
    for route in (api_routes("Api") | api_routes("Forecast")).values():
        assert route["AuthorizationType"] == {"If": ["Jwt", "JWT", "AWS_IAM"]}
        assert route["AuthorizerId"] == {"If": ["Jwt", {"Ref": "ApiAuthorizer"}, {"Ref": "AWS::NoValue"}]}
    (authorizer,) = of_type("AWS::ApiGatewayV2::Authorizer").values()
    assert authorizer["IdentitySource"] == ["$request.header.Authorization"]
    assert authorizer["JwtConfiguration"] == {"Issuer": {"Ref": "JwtIssuer"}, "Audience": {"Ref": "JwtAudience"}}
    assert TEMPLATE["Parameters"]["JwtIssuer"]["Default"] == ""


def test_browsers_of_other_origins_are_allowed_by_a_parameter_only() -> None:
    (api,) = of_type("AWS::ApiGatewayV2::Api").values()
    condition, cors, otherwise = api["CorsConfiguration"]["If"]
    assert (condition, otherwise) == ("Cors", {"Ref": "AWS::NoValue"})
    assert cors["AllowOrigins"] == {"Ref": "CorsOrigins"}
    assert set(cors["AllowMethods"]) == set(METHODS)
    assert "AllowCredentials" not in cors
    assert TEMPLATE["Parameters"]["CorsOrigins"]["Default"] == ""


def test_every_route_targets_a_function_that_the_api_can_invoke() -> None:
    integrations = of_type("AWS::ApiGatewayV2::Integration")
    targets = {named(route["Target"]) for route in of_type("AWS::ApiGatewayV2::Route").values()}
    assert targets == {f"integrations/${{{name}}}" for name in integrations}
    reached = {named(integration["IntegrationUri"]) for integration in integrations.values()}
    assert reached == {named(p["FunctionName"]) for p in of_type("AWS::Lambda::Permission").values()}
    # The alias, which a deployment moves; the function itself would be the newest code at once.
    assert reached == {"ApiFunction.Alias", "ForecastFunction.Alias"}


def test_a_deployment_is_gradual_and_every_function_has_alarms_that_roll_it_back() -> None:
    shared = TEMPLATE["Globals"]["Function"]
    assert shared["AutoPublishAlias"] == "live"
    assert shared["DeploymentPreference"] == {
        "Enabled": {"Ref": "GradualDeployment"},
        "Type": "Canary10Percent5Minutes",
    }
    assert TEMPLATE["Parameters"]["GradualDeployment"]["Default"] == "true"
    alarms = of_type("AWS::CloudWatch::Alarm")
    for name, function in FUNCTIONS.items():
        rings = [named(alarm) for alarm in function["DeploymentPreference"]["Alarms"]]
        # Else a changed setting would not reach the alias.
        assert function["AutoPublishAliasAllProperties"] is True
        assert f"{name.removesuffix('Function')}ErrorsAlarm" in rings
        assert set(rings) <= set(alarms)


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_each_stage_of_samconfig_gives_parameters_that_the_template_has(stage: str) -> None:
    config = tomllib.loads((CLOUD_FUNCTIONS / "samconfig.toml").read_text())
    settings = config[stage]["deploy"]["parameters"]
    assert settings["stack_name"] == f"strandline-{stage}"
    assert settings["capabilities"] == "CAPABILITY_IAM CAPABILITY_AUTO_EXPAND"
    for text in settings["parameter_overrides"]:
        name, _, value = text.partition("=")
        parameter = TEMPLATE["Parameters"][name]
        assert value in [str(v) for v in parameter.get("AllowedValues", [value])]
    assert settings["confirm_changeset"] is (stage == "prod")


def test_the_stack_that_a_guided_deployment_proposes_is_the_one_that_the_commands_use() -> None:
    settings = tomllib.loads((CLOUD_FUNCTIONS / "samconfig.toml").read_text())["default"]["deploy"]["parameters"]
    assert settings["stack_name"] == signature(provision_command).parameters["stack"].default
    assert settings["capabilities"] == "CAPABILITY_IAM CAPABILITY_AUTO_EXPAND"


def test_the_functions_requirements_are_those_of_the_project() -> None:
    lines = [
        line for line in (CLOUD_FUNCTIONS / "requirements.txt").read_text().splitlines() if line and line[0] != "#"
    ]
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    # boto3 is part of the Lambda runtime.
    cloud = [one for one in project["optional-dependencies"]["cloud"] if not one.startswith("boto3")]
    # NumPy is the only default dependency that the functions use.
    numpy = [one for one in project["dependencies"] if one.startswith("numpy")]
    assert sorted(lines) == sorted([*cloud, *numpy])
    more = [
        line
        for line in (CLOUD_FUNCTIONS / "compaction" / "requirements.txt").read_text().splitlines()
        if line[0] != "#"
    ]
    assert more == project["optional-dependencies"]["archive"]


def test_the_columns_of_the_archive_are_those_of_its_files() -> None:
    (table,) = of_type("AWS::Glue::Table").values()
    described = table["TableInput"]["StorageDescriptor"]["Columns"]
    names = [column["Name"] for column in described]
    assert names == [
        "gateway",
        "series",
        "unit",
        "resolution",
        "start",
        *(name for name in COLUMNS if name != "start_ms"),
    ]
    types = {"resolution": "double", "start": "timestamp"}
    for column in described[3:]:
        wanted = types.get(column["Name"], "double" if column["Name"] in FLOAT_COLUMNS else "bigint")
        assert column["Type"] == wanted, column


def test_the_archive_is_encrypted_retained_and_not_public() -> None:
    for bucket in of_type("AWS::S3::Bucket").values():
        assert all(bucket["PublicAccessBlockConfiguration"].values())
        assert len(bucket["PublicAccessBlockConfiguration"]) == 4
        assert bucket["BucketEncryption"]
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert TEMPLATE["Resources"]["ArchiveBucket"]["DeletionPolicy"] == "Retain"
