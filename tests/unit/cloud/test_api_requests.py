"""Behaviour of all routes of API v1: roles, problems, conditions, compression, and hostile requests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cloud_functions.api.table import ROUTES
from cloud_functions.core.errors import CloudError, StoreError
from cloud_functions.forecast.routes import ROUTES as FORECAST_ROUTES
from cloud_functions.rest.answers import accepts_gzip
from cloud_functions.rest.roles import Caller, Role, RoleRules
from tests.unit.cloud.api_site import ApiSite, event

ALL = (*ROUTES, *FORECAST_ROUTES)
LONG = {"accept-encoding": "gzip, br"}


def path_of(route):
    return route.path.replace("{gateway}", "gw-1").replace("{alert}", "6d").replace("{name}", "a")


@pytest.mark.parametrize("route", ALL, ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.parametrize("role", [None, "viewer", "operator", "admin"])
def test_a_route_is_refused_to_each_role_below_its_own(route, role):
    query: dict[str, Any] = {p.name: "x" for p in route.parameters}
    answer = ApiSite().call(route.method, path_of(route), role=role, **query)
    allowed = role is not None and Role[role.upper()] >= route.role
    assert (answer.status == 403) is not allowed
    if not allowed:
        assert route.role.label in answer.problems[0]


def test_only_reading_is_open_to_viewers():
    for route in ALL:
        assert (route.role is Role.VIEWER) == (route.method == "GET"), route.path


@pytest.mark.parametrize(
    ("claims", "caller"),
    [
        ({"role": "viewer", "sub": "1"}, Caller("1", Role.VIEWER)),
        ({"role": "[viewer operator]", "email": "a@b.c", "sub": "1"}, Caller("a@b.c", Role.OPERATOR)),
        ({"role": ["admin", "x"], "username": "ada"}, Caller("ada", Role.ADMIN)),
        ({"role": "administrators", "sub": "1"}, Caller("1", None)),
        ({"sub": "a\nb"}, Caller("ab", None)),
    ],
)
def test_the_role_of_a_token_is_the_highest_in_its_claim(claims, caller):
    assert RoleRules.read("role", "*=admin").caller({"authorizer": {"jwt": {"claims": claims}}}) == caller


def test_the_role_of_an_iam_identity_is_that_of_the_first_pattern():
    rules = RoleRules.read("role", "arn:aws:iam::*:user/ada=admin, *:assumed-role/Night/*=viewer")
    assert rules.caller({"authorizer": {"iam": {"userArn": "arn:aws:iam::1:user/ada"}}}).role is Role.ADMIN
    assert rules.caller({"authorizer": {"iam": {"userArn": "arn:aws:sts::1:assumed-role/Night/x"}}}).role is Role.VIEWER
    assert rules.caller({"authorizer": {"iam": {"userArn": "arn:aws:iam::1:user/bob"}}}).role is None
    assert rules.caller({}).role is None


@pytest.mark.parametrize("text", ["*", "*=root", "=admin"])
def test_an_invalid_rule_of_roles_is_an_error_of_the_settings(text):
    with pytest.raises(CloudError, match="PATTERN=ROLE"):
        RoleRules.read("role", text)


def test_me_is_the_caller():
    assert ApiSite().call("GET", "/v1/me", role="operator").json == {
        "user": "arn:aws:iam::1:user/operator",
        "role": "operator",
    }


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/gateways", 404),
        ("GET", "/v1/gateways/", 404),
        ("GET", "/", 404),
        ("DELETE", "/v1/gateways", 405),
        ("POST", "/v1/me", 405),
        ("GET", "/v1/gateways/gw-9", 404),
        ("GET", "/v1/gateways/gw%231", 400),
        ("GET", "/v1/alerts/zz", 400),
        ("GET", "/v1/alerts/2331237878", 400),
        ("GET", f"/v1/alerts/{b'gw#5#%'.hex()}", 400),
        ("GET", f"/v1/alerts/{b'gw#5#a'.hex()}", 404),
        ("GET", f"/v1/alerts/{b'gw#99999999999999#a'.hex()}", 400),
    ],
)
def test_errors_are_problem_details_with_their_status(method, path, status):
    answer = ApiSite().call(method, path)
    assert answer.status == status
    assert answer.problems
    if status == 405:
        assert answer.headers["allow"]


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("next=7f", "next: the parameter is not known here"),
        ("limit=0", "limit: '0'"),
        ("limit=1&limit=2", "limit: it is given more than once"),
        ("limit=%FF", "query: "),
        ("cursor=7f", "cursor: '7f'"),
        ("cursor=", "cursor: ''"),
        ("cursor=%ED%A0%80", "query: "),
        ("&".join(f"a{n}=1" for n in range(60)), "query: "),
    ],
)
def test_a_query_that_cannot_be_used_is_a_problem(query, problem):
    answer = ApiSite().raw(event("GET", "/v1/gateways", query, b"", {}, "viewer"))
    assert answer.status == 400
    assert answer.problems[0].startswith(problem)


@pytest.mark.parametrize("path", ["/v1/gateways/\ud800", "/v1/gateways/%ff", "/v1/alerts/\x00"])
def test_a_path_that_is_not_text_is_a_problem(path):
    request = event("GET", "/v1/me", "", b"", {}, "viewer")
    assert ApiSite().raw(request | {"rawPath": path}).status == 400


@pytest.mark.parametrize(
    "body",
    [b"\xff", b"{", b"[1]", b'{"high": NaN}', b'{"high": "\\ud800"}', b"[" * 100_000, b'{"\\udc00": 1}', b'"x"'],
)
def test_a_body_that_is_not_a_json_object_in_utf8_is_a_problem(body):
    answer = ApiSite().call("PUT", "/v1/gateways/gw-1/limits", body, series="a")
    assert answer.status == 400
    assert answer.problems[0].startswith(("body: ", "high: "))


def test_a_body_of_another_content_type_is_refused():
    answer = ApiSite().call(
        "PUT", "/v1/gateways/gw-1/limits", b"<a/>", series="a", headers={"content-type": "application/xml"}
    )
    assert answer.status == 415


def test_a_failing_store_is_503_and_shows_nothing_of_the_error():
    site = ApiSite()

    def refuse(key):
        raise StoreError("table secret-name is down")

    site.telemetry.refuse = refuse
    site.telemetry.items[("x", "y")] = {}  # type: ignore[index]
    answer = site.call("GET", "/v1/gateways/gw-1/limits", series="a")
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert "secret" not in answer.content.decode()
    assert site.metrics.counts["failed_requests"] == 1


def test_an_unexpected_error_is_500_with_problem_details(monkeypatch):
    site = ApiSite()
    monkeypatch.setattr(site.telemetry, "query", lambda *_, **__: 1 / 0)
    answer = site.call("GET", "/v1/gateways")
    assert answer.status == 500
    assert "ZeroDivision" not in answer.content.decode()
    assert answer.problems


def test_an_unchanged_answer_is_304_without_a_body():
    site = ApiSite()
    site.rows()
    first = site.call("GET", "/v1/gateways")
    tag = first.headers["etag"]
    assert tag.startswith('W/"')
    for condition in (tag, tag.removeprefix("W/"), f'"x", {tag}', "*"):
        again = site.call("GET", "/v1/gateways", headers={"If-None-Match": condition})
        assert (again.status, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    site.rows(n=3)
    changed = site.call("GET", "/v1/gateways", headers={"If-None-Match": tag})
    assert changed.status == 200
    assert changed.headers["etag"] != tag
    assert first.headers["cache-control"] == "private, no-cache"


def test_long_answers_are_compressed_if_the_client_accepts_it():
    site = ApiSite()
    site.rows(n=300)
    plain = site.call("GET", "/v1/gateways/gw-1/aggregates", series="pump/temp")
    packed = site.call("GET", "/v1/gateways/gw-1/aggregates", series="pump/temp", headers=LONG)
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json == plain.json
    assert packed.headers["etag"] == plain.headers["etag"]
    assert "content-encoding" not in site.call("GET", "/v1/me", headers=LONG).headers


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [("gzip", True), ("br, GZIP;q=0.5", True), ("*", True), ("gzip;q=0", False), ("br", False), ("", False)],
)
def test_accept_encoding_is_read(accepted, expected):
    assert accepts_gzip(accepted) is expected


def test_the_stage_is_not_part_of_the_path():
    request = event("GET", "/prod/v1/me", "", b"", {}, "viewer")
    request["requestContext"]["stage"] = "prod"
    assert ApiSite().raw(request).status == 200


def test_the_parameters_of_the_query_are_used_without_a_raw_query():
    request = event("GET", "/v1/gateways", "", b"", {}, "viewer") | {"queryStringParameters": {"limit": "x"}}
    assert ApiSite().raw(request).status == 400


def test_all_answers_are_json_that_declares_its_type():
    answer = ApiSite().call("GET", "/v1/gateways")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert json.loads(answer.content) == {"items": []}
