"""Contract between alarms and dashboard of the template, metrics of the functions, and docs/operations.md."""

from __future__ import annotations

import json
import re

import pytest

from cloud_functions.adapters.emf import DIMENSIONS, NAMESPACE
from cloud_functions.core.compaction import Outcome
from cloud_functions.core.received_sequences import TOTALS
from tests.contract.test_template import CLOUD_FUNCTIONS, DEAD_LETTERS, FUNCTIONS, REPO, named, of_type

ALARMS = of_type("AWS::CloudWatch::Alarm")
PAGE = (REPO / "docs" / "operations.md").read_text()


def table(heading: str) -> list[list[str]]:
    """Return the rows of the first table below a heading of the page."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def own_metrics() -> set[str]:
    """Return the names that the functions count or observe, read from their sources."""
    sources = [
        path.read_text()
        for folder in (
            "core",
            *("ingest", "alerting", "notify", "watch", "compaction", "archive", "api", "forecast", "rest"),
        )
        for path in (CLOUD_FUNCTIONS / folder).glob("*.py")
    ]
    sources += [path.read_text() for path in (CLOUD_FUNCTIONS / "adapters").rglob("*.py")]
    found = {name for text in sources for name in re.findall(r'metrics\.(?:count|observe)\("(\w+)"', text)}
    found |= set(re.findall(r'self\.counts\["(\w+)"\]', (CLOUD_FUNCTIONS / "core" / "compaction.py").read_text()))
    return found | set(TOTALS) | {f"tasks_{outcome}" for outcome in Outcome}


def test_the_page_has_a_line_for_each_alarm_and_no_other() -> None:
    rows = table("Alarms")
    assert sorted(name.strip("`") for name, _, _ in rows) == sorted(ALARMS)
    for name, cause, action in rows:
        assert len(cause) > 20, name
        assert len(action) > 20, name


def test_the_page_describes_each_metric_of_the_functions_and_no_other() -> None:
    described = [name for names, _, _ in table("Metrics") for name in re.findall(r"`(\w+)`", names)]
    assert len(described) == len(set(described))
    assert set(described) == own_metrics()


@pytest.mark.parametrize("name", ALARMS)
def test_each_alarm_reaches_the_operator_and_defines_missing_data(name: str) -> None:
    alarm = ALARMS[name]
    assert [named(action) for action in alarm["AlarmActions"]] == ["OperatorTopic"]
    assert [named(action) for action in alarm["OKActions"]] == ["OperatorTopic"]
    assert alarm["TreatMissingData"] in ("breaching", "notBreaching")
    assert alarm["AlarmDescription"]


def test_an_alarm_on_silence_counts_missing_data_as_silence() -> None:
    silent = {name for name, alarm in ALARMS.items() if alarm["TreatMissingData"] == "breaching"}
    assert silent == {"NoDataAlarm", "CompactionLagAlarm", "WatchMissingAlarm"}
    assert ALARMS["WatchMissingAlarm"]["ComparisonOperator"] == "LessThanThreshold"
    assert ALARMS["NoDataAlarm"]["ComparisonOperator"] == "LessThanThreshold"


def test_every_queue_of_dead_letters_and_every_function_has_an_alarm() -> None:
    watched = {
        (alarm["MetricName"], named(dimension["Value"]))
        for alarm in ALARMS.values()
        for dimension in alarm["Dimensions"]
    }
    for queue in DEAD_LETTERS:
        assert ("ApproximateNumberOfMessagesVisible", f"{queue}.QueueName") in watched
    for function in FUNCTIONS:
        assert {("Errors", function), ("Throttles", function)} <= watched
    for queue in ("UrgentQueue", "BulkQueue"):
        assert ("ApproximateAgeOfOldestMessage", f"{queue}.QueueName") in watched
    assert ("IteratorAge", "AlertingFunction") in watched


def test_alarms_on_own_metrics_name_metrics_and_dimensions_that_are_published() -> None:
    own = [alarm for alarm in ALARMS.values() if alarm["Namespace"] == NAMESPACE]
    assert {metric["MetricName"] for metric in own} == {"batches", "throttles", "compaction_lag_ms", "finished_shards"}
    for metric in own:
        assert metric["MetricName"] in own_metrics()
        dimensions = {one["Name"]: one["Value"] for one in metric["Dimensions"]}
        assert tuple(dimensions) == DIMENSIONS
        assert dimensions["stack"] == {"Ref": "AWS::StackName"}
        assert (CLOUD_FUNCTIONS / dimensions["function"] / "app.py").is_file()


def test_the_dashboard_is_json_over_published_metrics_and_the_templates_resources() -> None:
    (dashboard,) = of_type("AWS::CloudWatch::Dashboard").values()
    body = dashboard["DashboardBody"]["Sub"]
    widgets = json.loads(body)["widgets"]
    places = {(widget["x"], widget["y"]) for widget in widgets}
    assert len(places) == len(widgets)
    shown = [metric for widget in widgets for metric in widget["properties"]["metrics"]]
    assert {metric[1] for metric in shown if metric[0] == NAMESPACE} <= own_metrics()
    resources = {
        name
        for kind in ("Serverless::Function", "SQS::Queue", "DynamoDB::Table", "ApiGatewayV2::Api")
        for name in of_type(f"AWS::{kind}")
    }
    assert {name.split(".")[0] for name in re.findall(r"\$\{([A-Za-z.]+)\}", body)} <= resources
