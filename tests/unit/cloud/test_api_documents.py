"""Rules, silences, routes and channels over the API: versions, conditions, problems; and the dry run of a rule."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.cloud.api_site import ApiSite
from tests.unit.cloud.fakes import NOW_MS

RULE: dict[str, Any] = {"condition": {"type": "threshold", "above": 5}, "series": "pump/*", "severity": "critical"}
BODIES: dict[str, dict[str, Any]] = {
    "rules": RULE,
    "silences": {"from": NOW_MS, "to": NOW_MS + 1_000, "comment": "maintenance"},
    "routes": {"channels": ["ops"]},
    "channels": {"type": "mqtt"},
}


@pytest.mark.parametrize("kind", BODIES)
def test_a_document_is_created_replaced_listed_and_deleted(kind):
    site, path = ApiSite(), f"/v1/{kind}/a.1"
    created = site.call("PUT", path, BODIES[kind])
    assert created.status == 200, created.content
    assert created.headers["etag"] == '"1"'
    shown = site.call("GET", path)
    assert shown.json == created.json
    assert shown.json["name"] == "a.1"
    assert (shown.json["version"], shown.json["updated_by"]) == (1, "arn:aws:iam::1:user/admin")
    assert site.call("GET", path, headers={"if-none-match": '"1"'}).status == 304
    # The answer can be sent back.
    assert site.call("PUT", path, shown.json).json["version"] == 1
    assert [one["name"] for one in site.call("GET", f"/v1/{kind}").json["items"]] == ["a.1"]
    assert site.call("DELETE", path).status == 204
    assert site.call("GET", path).status == 404
    assert site.call("DELETE", path).status == 404


@pytest.mark.parametrize("kind", BODIES)
def test_an_invalid_document_is_a_problem_that_names_the_key(kind):
    answer = ApiSite().call("PUT", f"/v1/{kind}/a", BODIES[kind] | {"colour": "red"})
    assert answer.status == 400
    assert any(problem.startswith("colour: ") for problem in answer.problems)


def test_writes_are_refused_for_another_version():
    site = ApiSite()
    assert site.call("PUT", "/v1/rules/a", RULE, headers={"if-match": '"1"'}).status == 412
    assert site.call("PUT", "/v1/rules/a", RULE, headers={"if-none-match": "*"}).status == 200
    assert site.call("PUT", "/v1/rules/a", RULE, headers={"if-none-match": "*"}).status == 412
    changed = RULE | {"severity": "info"}
    assert site.call("PUT", "/v1/rules/a", changed, headers={"if-match": '"1"'}).json["version"] == 2
    assert site.call("PUT", "/v1/rules/a", RULE, headers={"if-match": '"1"'}).status == 412
    assert site.call("DELETE", "/v1/rules/a", headers={"if-match": '"1"'}).status == 412
    assert site.call("DELETE", "/v1/rules/a", headers={"if-match": '"2"'}).status == 204


@pytest.mark.parametrize(
    "headers",
    [{"if-match": "1"}, {"if-match": 'W/"1"'}, {"if-none-match": '"1"'}, {"if-match": '"1"', "if-none-match": "*"}],
)
def test_a_condition_that_cannot_be_read_is_a_problem(headers):
    assert ApiSite().call("PUT", "/v1/rules/a", RULE, headers=headers).status == 400


def test_the_name_is_that_of_the_path():
    site = ApiSite()
    assert site.call("PUT", "/v1/rules/a", RULE | {"name": "b"}).problems == ["name: 'b': the path names a"]
    assert site.call("PUT", "/v1/rules/a%20b", RULE).status == 400
    assert site.call("PUT", "/v1/rules/dry-run", RULE).status == 405


def test_a_silence_without_an_author_is_by_the_caller():
    site = ApiSite()
    assert site.call("PUT", "/v1/silences/a", BODIES["silences"], role="operator").json["author"].endswith("operator")
    named = BODIES["silences"] | {"author": "Ada"}
    assert site.call("PUT", "/v1/silences/b", named).json["author"] == "Ada"


def test_only_admins_change_routes_and_channels():
    site = ApiSite()
    for kind in ("routes", "channels"):
        assert site.call("PUT", f"/v1/{kind}/a", BODIES[kind], role="operator").status == 403
        assert site.call("GET", f"/v1/{kind}", role="viewer").status == 200


def test_documents_are_listed_in_pages():
    site = ApiSite()
    for name in ("c", "a", "b"):
        site.call("PUT", f"/v1/rules/{name}", RULE)
    first = site.call("GET", "/v1/rules", limit=2).json
    second = site.call("GET", "/v1/rules", limit=2, cursor=first["next"]).json
    assert [one["name"] for one in first["items"] + second["items"]] == ["a", "b", "c"]
    assert site.call("GET", "/v1/silences", limit=2, cursor=first["next"]).status == 400


def test_a_dry_run_shows_when_a_rule_would_have_fired():
    site = ApiSite()
    site.rows(series="pump/temp", n=10)
    answer = site.call("POST", "/v1/rules/dry-run", {"rule": RULE, "from": NOW_MS - 60_000, "to": NOW_MS})
    assert answer.status == 200, answer.content
    assert (answer.json["series_evaluated"], answer.json["count"]) == (1, 1)
    (firing,) = answer.json["firings"]
    assert (firing["series"], firing["peak"], firing["from_ms"]) == ("pump/temp", 9.0, NOW_MS - 4_000)
    assert site.call("POST", "/v1/rules/dry-run", {"rule": RULE}).json["count"] == 1


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({}, "rule: NoneType: an object"),
        ({"rule": RULE, "form": 1}, "form: no such key"),
        ({"rule": RULE, "from": "soon"}, "from: 'soon'"),
        ({"rule": RULE, "from": 5, "to": 5}, "from: 5"),
        ({"rule": {"condition": {"type": "magic"}}}, "condition.type: 'magic'"),
    ],
)
def test_an_invalid_dry_run_is_a_problem(body, problem):
    answer = ApiSite().call("POST", "/v1/rules/dry-run", body)
    assert answer.status == 400
    assert answer.problems[0].startswith(problem)
