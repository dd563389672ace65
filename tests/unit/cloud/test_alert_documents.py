"""Documents that configure alerting: each is validated key by key and restored from its own JSON values."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.core import channels, routes, rules, silences
from cloud_functions.core.errors import RequestError
from cloud_functions.core.globs import matches

RULE = {
    "name": "hot",
    "gateways": "plant-*",
    "series": "pump*/temperature",
    "condition": {"type": "threshold", "above": 80, "clear_margin": 2},
    "for_s": 60,
    "severity": "critical",
    "summary": "Pump is hot",
}
SILENCE = {"name": "service", "series": "pump1/*", "from": 1_000, "to": 2_000, "author": "Ada", "comment": "oil change"}
ROUTE = {"name": "night", "channels": ["ops"], "severities": ["critical"], "repeat_s": 3600}
WEBHOOK = {"name": "ops", "type": "webhook", "url": "https://hooks.example.com/a", "secret": "ssm:/ops/key"}
SUNDAY = {"weekdays": [6], "from": "22:00", "to": "02:00", "zone": "Europe/Berlin"}
PARSERS: dict[str, Any] = {"rule": rules, "silence": silences, "route": routes, "channel": channels}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("rule", RULE),
        ("rule", RULE | {"condition": {"type": "rate", "below": -1.5, "per": "1m"}}),
        ("rule", RULE | {"condition": {"type": "absence", "after_s": 300}}),
        ("rule", RULE | {"condition": {"type": "absence", "after_s": 1}}),
        ("rule", RULE | {"condition": {"type": "forecast", "limit": 0, "side": "high", "within_s": 1}}),
        ("rule", RULE | {"condition": {"type": "forecast", "limit": 9.5, "side": "low", "within_s": 86_400}}),
        ("silence", SILENCE),
        ("silence", SILENCE | {"severities": ["info"], "recurring": SUNDAY}),
        ("route", ROUTE),
        ("route", ROUTE | {"escalate_after_s": 900, "escalate_to": ["boss"], "kinds": ["silence"]}),
        ("channel", WEBHOOK),
        ("channel", WEBHOOK | {"preset": "pagerduty"}),
        ("channel", {"name": "mail", "type": "email", "to": ["ada@example.com"]}),
        ("channel", {"name": "t", "type": "sns", "topic": "arn:aws:sns:eu-central-1:123456789012:alerts"}),
        ("channel", {"name": "bus", "type": "eventbridge"}),
        ("channel", {"name": "site", "type": "mqtt"}),
        (
            "channel",
            {
                "name": "flow",
                "type": "stepfunctions",
                "state_machine": "arn:aws:states:eu-central-1:123456789012:stateMachine:flow",
            },
        ),
    ],
)
def test_a_document_is_restored_from_its_own_json_and_from_a_stored_answer(kind: str, body: dict[str, Any]) -> None:
    parsed = PARSERS[kind].parse(body)
    shown = parsed.to_dict()
    assert body.items() <= shown.items()
    assert PARSERS[kind].parse(shown | {"version": 3, "updated_ms": 1, "updated_by": "Ada"}) == parsed


@pytest.mark.parametrize(
    ("kind", "body", "problem"),
    [
        ("rule", RULE | {"color": 1}, "color: no such key"),
        ("rule", RULE | {"name": "a b"}, "name: 'a b'"),
        ("rule", RULE | {"gateways": ""}, "gateways: ''"),
        ("rule", RULE | {"for_s": -1}, "for_s: -1: seconds"),
        ("rule", RULE | {"for_s": True}, "for_s: True"),
        ("rule", RULE | {"severity": "bad"}, "severity: 'bad': one of critical, warning, info"),
        ("rule", RULE | {"condition": 5}, "condition: an object, not int"),
        ("rule", RULE | {"condition": {"type": "x"}}, "condition.type: 'x': one of threshold"),
        ("rule", RULE | {"condition": {"type": "threshold"}}, "condition.above: a limit is needed"),
        ("rule", RULE | {"condition": {"type": "threshold", "above": 1, "below": 2}}, "condition.below: 2 is not less"),
        ("rule", RULE | {"condition": {"type": "threshold", "above": float("nan")}}, "condition.above: nan: a number"),
        ("rule", RULE | {"condition": {"type": "threshold", "above": 10**400}}, "condition.above: 1000"),
        ("rule", RULE | {"condition": {"type": "rate", "above": 1, "per": "2h"}}, "condition.per: '2h': one of 1s"),
        ("rule", RULE | {"condition": {"type": "rate", "above": 1, "limit": 2}}, "condition.limit: no such key"),
        ("rule", RULE | {"condition": {"type": "absence"}}, "condition.after_s: None: seconds from 1"),
        ("rule", RULE | {"condition": {"type": "forecast", "within_s": 60}}, "condition.limit: a number is needed"),
        ("silence", SILENCE | {"to": 1_000}, "to: 1000 is not after from"),
        ("silence", {"name": "x"}, "from: a time in milliseconds"),
        ("silence", SILENCE | {"from": 1.5}, "from: 1.5: a whole number"),
        ("silence", SILENCE | {"comment": "a\x00b"}, "comment: "),
        ("silence", SILENCE | {"comment": "\ud800"}, "comment: "),
        ("silence", SILENCE | {"recurring": SUNDAY | {"zone": "Mars/North"}}, "recurring.zone: 'Mars/North'"),
        ("silence", SILENCE | {"recurring": SUNDAY | {"zone": "../etc"}}, "recurring.zone"),
        ("silence", SILENCE | {"recurring": SUNDAY | {"to": "22:00"}}, "recurring.to: is the same time"),
        ("silence", SILENCE | {"recurring": SUNDAY | {"from": "24:00"}}, "recurring.from: '24:00'"),
        ("silence", SILENCE | {"recurring": SUNDAY | {"weekdays": [7]}}, "recurring.weekdays"),
        ("silence", SILENCE | {"recurring": SUNDAY | {"weekdays": [-1]}}, "recurring.weekdays"),
        ("silence", SILENCE | {"recurring": SUNDAY | {"weekdays": [1.5]}}, "recurring.weekdays"),
        ("silence", SILENCE | {"recurring": SUNDAY | {"weekdays": [True]}}, "recurring.weekdays"),
        ("silence", SILENCE | {"recurring": SUNDAY | {"weekdays": []}}, "recurring.weekdays"),
        ("silence", SILENCE | {"recurring": SUNDAY | {"weekdays": 6}}, "recurring.weekdays"),
        ("route", {"name": "x"}, "channels: None: a list of 1 to 20 names"),
        ("route", ROUTE | {"escalate_after_s": 5}, "escalate_to: escalate_after_s and escalate_to"),
        ("route", ROUTE | {"kinds": ["no"]}, "kinds: .*: a list of anomaly"),
        ("channel", {"name": "a"}, "type: None: one of sns"),
        ("channel", WEBHOOK | {"secret": "hunter2"}, "secret: 'hunter2': secretsmanager:NAME or ssm:NAME"),
        ("channel", WEBHOOK | {"preset": "opsgenie", "secret": None}, "secret: the key of opsgenie is needed"),
        ("channel", {"name": "m", "type": "email", "to": ["a@b.c\r\nBcc: x@y.z"]}, "to: "),
        ("channel", {"name": "m", "type": "email", "to": []}, "to: "),
        ("channel", {"name": "m", "type": "sns", "topic": "x"}, "topic: 'x': the ARN of a topic"),
        ("channel", {"name": "m", "type": "stepfunctions"}, "state_machine: None"),
    ],
)
def test_an_invalid_document_is_rejected_with_the_key_and_what_is_allowed(
    kind: str, body: dict[str, Any], problem: str
) -> None:
    with pytest.raises(RequestError, match=problem):
        PARSERS[kind].parse(body)


def test_all_problems_of_a_document_are_reported_together() -> None:
    with pytest.raises(RequestError) as caught:
        rules.parse({"name": "", "for_s": "x", "condition": {"type": "absence", "after_s": 0}, "more": 1})
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "name",
        "condition.after_s",
        "for_s",
        "more",
    ]


@given(st.sampled_from(sorted(PARSERS)), st.sampled_from([RULE, SILENCE, ROUTE, WEBHOOK]), st.data())
def test_any_json_is_accepted_or_rejected_with_problems(kind: str, body: dict[str, Any], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(body)) | st.sampled_from(["recurring", "to", "topic", "preset", "type"]))
    problems: tuple[str, ...] = ()
    try:
        parsed = PARSERS[kind].parse(body | {key: data.draw(JSON_VALUES)})
        assert PARSERS[kind].parse(parsed.to_dict()) == parsed
    except RequestError as error:
        problems = error.problems
    assert all(":" in problem for problem in problems)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://hooks.slack.com/services/T/B/x", True),
        ("https://hooks.example.com:8443/a?b=c", True),
        ("https://8.8.8.8/a", True),
        ("https://[2606:4700::1111]/a", True),
        ("http://hooks.example.com/", False),
        ("https://hooks.example.com:22/", False),
        ("https://user:pass@example.com/", False),
        ("https://169.254.169.254/latest", False),
        ("https://10.0.0.1/", False),
        ("https://127.0.0.1/", False),
        ("https://[::1]/", False),
        ("https://[::ffff:10.0.0.1]/", False),
        ("https://[fd00::1]/", False),
        ("https://0x7f.1/", False),
        ("https://2130706433/", False),
        ("https://127.1/", False),
        ("https://localhost/", False),
        ("https://metadata.google.internal/", False),
        ("https://intranet/", False),
        ("file:///etc/passwd", False),
        ("https://exa mple.com/", False),
        ("https://example.com/\r\nX: y", False),
        ("https://", False),
        ("https://[::1", False),
    ],
)
def test_a_webhook_must_be_https_to_a_public_host(url: str, allowed: bool) -> None:
    assert (channels.check_url(url) == "") is allowed


def test_a_webhook_to_loopback_is_allowed_only_where_the_deployment_allows_it() -> None:
    assert channels.check_url("http://127.0.0.1:9000/a", loopback=True) == ""
    assert channels.check_url("http://127.0.0.1:9000/a") == "https is required"
    assert channels.check_url("ftp://127.0.0.1/a", loopback=True) == "http or https"


def test_a_route_matches_site_gateway_series_severity_and_kind() -> None:
    route = routes.parse(ROUTE | {"sites": "north*", "gateways": "gw-?", "series": "pump1/*", "kinds": ["rule"]})
    assert route.applies_to("north-1", "gw-1", "pump1/a", "critical", "rule")
    for site, gateway, series, severity, kind in (
        ("south", "gw-1", "pump1/a", "critical", "rule"),
        ("north", "gw-12", "pump1/a", "critical", "rule"),
        ("north", "gw-1", "pump2/a", "critical", "rule"),
        ("north", "gw-1", "pump1/a", "warning", "rule"),
        ("north", "gw-1", "pump1/a", "critical", "anomaly"),
    ):
        assert route.applies_to(site, gateway, series, severity, kind) is False


def test_the_gateways_own_series_match_only_a_route_that_names_them() -> None:
    default = routes.default_route()
    assert default.applies_to("", "gw-1", "pump1/a", "info", "anomaly")
    assert default.applies_to("", "gw-1", "", "critical", "silence")
    assert not default.applies_to("", "gw-1", "host.cpu", "critical", "anomaly")
    own = routes.parse({"name": "hosts", "series": "host.*", "channels": ["ops"]})
    assert own.applies_to("", "gw-1", "host.cpu", "critical", "anomaly")


@pytest.mark.parametrize(
    ("group_by", "series", "group"),
    [
        ("gateway", "pump1/a", "gw-1"),
        ("asset", "pump1/motor/a", "gw-1/pump1/motor"),
        ("asset", "pump1", "gw-1/pump1"),
        ("none", "pump1/a", "id-1"),
    ],
)
def test_alerts_are_grouped_by_gateway_asset_or_not(group_by: str, series: str, group: str) -> None:
    route = routes.parse(ROUTE | {"group_by": group_by})
    assert routes.group_key(route, "gw-1", series, "id-1") == group


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [("*", "", True), ("pump*", "pump1/a", True), ("pump?", "pump12", False), ("[ab]", "b", True), ("A", "a", False)],
)
def test_patterns_match_whole_names(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, name) is expected


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("time", "active"),
    [
        ("2026-03-01T21:59:00+01:00", False),
        ("2026-03-01T22:00:00+01:00", True),
        ("2026-03-02T01:59:00+01:00", True),
        ("2026-03-02T02:00:00+01:00", False),
        ("2026-03-02T23:00:00+01:00", False),
        # Summer time: the same wall clock, another offset.
        ("2026-07-05T22:00:00+02:00", True),
        ("2026-07-05T21:30:00+02:00", False),
        # After the end of the whole silence.
        ("2027-01-03T23:00:00+01:00", False),
    ],
)
def test_a_recurring_silence_follows_the_wall_clock_of_its_zone(time: str, active: bool) -> None:
    limits = {"from": ms("2026-01-01T00:00:00+00:00"), "to": ms("2027-01-01T00:00:00+00:00")}
    silence = silences.parse(SILENCE | limits | {"recurring": SUNDAY})
    assert silence.is_active(ms(time)) is active


def test_the_first_active_silence_that_covers_an_alert_is_named() -> None:
    given_ = [
        silences.parse(SILENCE | {"name": name, "series": series}) for name, series in (("b", "*"), ("a", "pump*"))
    ]
    assert silences.silencing(given_, "gw-1", "pump1", "spike", "warning", 1_500) == "a"
    assert silences.silencing(given_, "gw-1", "fan1", "spike", "warning", 1_500) == "b"
    assert silences.silencing(given_, "gw-1", "fan1", "spike", "warning", 2_000) == ""
    only = [silences.parse(SILENCE | {"rules": "hot*", "severities": ["info"]})]
    assert silences.silencing(only, "gw-1", "pump1/a", "hot", "info", 1_500) == "service"
    assert silences.silencing(only, "gw-1", "pump1/a", "cold", "info", 1_500) == ""
    assert silences.silencing(only, "gw-1", "pump1/a", "hot", "critical", 1_500) == ""
