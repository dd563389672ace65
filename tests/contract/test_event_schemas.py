"""Events of alerts are valid by their published schemas, and a version of a type never loses or changes a key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cloud_functions.core.alert import Alert, Origin, State, acknowledge, merge
from cloud_functions.core.cloudevents import SCHEMAS, envelope, member, notification
from cloud_functions.core.severity import AlertKind
from tests.unit.cloud.fakes import NOW_MS, report
from wire.anomaly import Anomaly, Phase

FOLDER = Path(__file__).resolve().parents[2] / "cloud_functions" / "schemas"
SCHEMA_OF = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
REQUIRED_V1 = {
    "alert.v1": {
        *(
            "id",
            "gateway",
            "series",
            "kind",
            "rule",
            "severity",
            "state",
            "summary",
            "onset_ms",
            "opened_ms",
            "last_ms",
        ),
        *("ended_ms", "fired_ms", "acknowledged_ms", "acknowledged_by", "comment", "silenced_by", "inhibited_by"),
        *("flapping", "score", "cause"),
    },
    "notification.v1": {"route", "group", "count", "counts", "severity", "gateways", "alerts"},
}
"""Keys that subscribers rely on: a version that lacks one of them is another version."""


def alerts() -> list[Alert]:
    anomaly = merge(None, "gw-1", report(), NOW_MS, Origin())
    rule = merge(None, "gw-1", report(), NOW_MS, origin=Origin(AlertKind.RULE, "hot", "info", "Hot"))
    silent = Anomaly("", Phase.ONSET, NOW_MS, NOW_MS, 1.0, "silence", "", 900.0, unit="s")
    return [anomaly, rule, merge(None, "gw-1", silent, NOW_MS, origin=Origin(AlertKind.SILENCE, "", "critical"))]


def validate(event: dict[str, Any]) -> None:
    name = str(event["dataschema"]).removeprefix(SCHEMAS)
    assert str(event["type"]).endswith(name.rsplit(".", 1)[1])
    jsonschema.Draft202012Validator(SCHEMA_OF[name]).validate(json.loads(json.dumps(event)))


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert.origin.kind))
def test_each_transition_of_each_kind_is_valid(alert: Alert) -> None:
    for state in (State.FIRING, State.RESOLVED):
        validate(envelope(alert, state))
    validate(envelope(acknowledge(alert, "Ada", NOW_MS, "on my way"), State.ACKNOWLEDGED))


def test_a_notification_of_one_and_of_many_alerts_is_valid() -> None:
    members = [member(envelope(one, State.FIRING)) for one in alerts()]
    validate(notification("n1", "people", "gw-1/pump1", members[:1], NOW_MS))
    validate(
        notification(
            "n1", "people", "gw-1/pump1", [one | {"id": f"{at:02x}"} for at in range(50) for one in members], NOW_MS
        )
    )


def test_each_schema_is_named_by_its_file_and_has_the_keys_of_its_version() -> None:
    assert set(SCHEMA_OF) == set(REQUIRED_V1)
    for name, schema in SCHEMA_OF.items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["$id"] == f"{SCHEMAS}{name}"
        assert set(schema["properties"]["data"]["required"]) == REQUIRED_V1[name]


def test_a_schema_rejects_an_event_that_lacks_a_key_or_has_another_type() -> None:
    event = envelope(alerts()[0], State.FIRING)
    without = event | {"data": {name: value for name, value in event["data"].items() if name != "summary"}}
    for wrong in (without, event | {"type": "io.strandline.alert.firing.v2"}, event | {"time": 5}):
        with pytest.raises(jsonschema.ValidationError):
            validate_as(wrong, "alert.v1")


def validate_as(event: dict[str, Any], name: str) -> None:
    jsonschema.Draft202012Validator(SCHEMA_OF[name]).validate(json.loads(json.dumps(event)))
