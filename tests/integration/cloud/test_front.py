"""The front of the local cloud: page, tokens that the API's JWT authorizer checks, roles, and CORS."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from device_sim.aws.front import Front
from device_sim.aws.issuer import Issuer
from device_sim.aws.local import LocalCloud
from device_sim.aws.process import DIRECT

pytestmark = pytest.mark.slow
ORIGIN = "https://page.example.com"


class Site(NamedTuple):
    front: Front
    cloud: LocalCloud


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    dist = tmp_path_factory.mktemp("dist")
    (dist / "index.html").write_text("<!doctype html><title>page</title>")
    (dist / "app-1a2b.js").write_text("1")
    with Front(dist=dist) as front:
        parameters = front.parameters | {"CorsOrigins": ORIGIN}
        with LocalCloud.start(tmp_path_factory.mktemp("cloud"), parameters=parameters) as cloud:
            front.attach(cloud)
            yield Site(front, cloud)


def send(url: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
    names = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, names, method=method)  # noqa: S310 - loopback
    try:
        with DIRECT.open(request, timeout=60) as answer:
            return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read())


def call(site: Site, token: str, path: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
    return send(f"{site.front.url}{path}", method, body, authorization=f"Bearer {token}", **headers)


def test_a_token_of_the_issuer_gives_the_api_user_and_role(site: Site) -> None:
    answer = send(f"{site.front.url}/local/token", "POST", {"user": "Ada", "role": "operator"})
    assert answer.status == 200
    assert answer.json["expires_ms"] > time.time() * 1000
    assert call(site, answer.json["token"], "/v1/me").json == {"user": "Ada", "role": "operator"}


@pytest.mark.parametrize(
    ("role", "method", "path", "status"),
    [
        ("viewer", "GET", "/v1/gateways", 200),
        ("viewer", "POST", "/v1/telemetry", 403),
        ("operator", "POST", "/v1/telemetry", 400),
        ("nobody", "GET", "/v1/gateways", 403),
        ("viewer", "GET", "/v1/nothing", 404),
        ("viewer", "DELETE", "/v1/gateways", 405),
        ("viewer", "GET", "/v1/gateways/gw-1/forecast?series=a&high=1", 404),
    ],
)
def test_the_function_enforces_the_role_with_problem_details(
    site: Site, role: str, method: str, path: str, status: int
) -> None:
    answer = call(site, site.front.token("Bob", role), path, method, {} if method == "POST" else None)
    assert answer.status == status
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json["problems"]


def test_other_tokens_are_refused_before_the_function(site: Site) -> None:
    issuer, now = site.front.issuer, int(time.time())
    good = issuer.token("Eve", "admin", now)
    assert call(site, good, "/v1/me").status == 200
    others = {
        "no token": "",
        "another key": Issuer(issuer.url).token("Eve", "admin", now),
        "expired": issuer.token("Eve", "admin", now, exp=now - 60),
        "not yet valid": issuer.token("Eve", "admin", now, nbf=now + 600),
        "another audience": issuer.token("Eve", "admin", now, aud="other"),
        "another issuer": issuer.token("Eve", "admin", now, iss="https://example.com"),
        "another role under the signature": ".".join([good.split(".")[0], issuer.token("Eve", "x", now).split(".")[1]])
        + "."
        + good.split(".")[2],
        "without a signature": good.rsplit(".", 1)[0] + ".",
    }
    for name, token in others.items():
        assert call(site, token, "/v1/me").status == 401, name
    assert send(f"{site.front.url}/v1/me").status == 401


def test_a_role_that_the_issuer_does_not_know_gets_no_token(site: Site) -> None:
    for body in (
        {"user": "Ada", "role": "root"},
        {"user": "", "role": "viewer"},
        {"user": "a\nb", "role": "viewer"},
        [],
    ):
        assert send(f"{site.front.url}/local/token", "POST", body).status == 400


def test_the_page_is_served_with_a_strict_policy(site: Site) -> None:
    index = send(f"{site.front.url}/")
    assert (index.status, index.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in index.headers["content-security-policy"]
    assert "unsafe" not in index.headers["content-security-policy"]
    assert index.headers["cache-control"] == "no-cache"
    script = send(f"{site.front.url}/app-1a2b.js")
    assert script.headers["cache-control"].endswith("immutable")
    assert send(f"{site.front.url}/config.json").json["api"] == "/v1"
    for path in ("/nothing.js", "/../template.yaml", "/%2e%2e/template.yaml"):
        assert send(f"{site.front.url}{path}").status == 404


def test_requests_under_another_host_name_are_refused(site: Site) -> None:
    assert send(f"{site.front.url}/", host="evil.example.com").status == 421


def test_conditions_and_compression_pass_the_front(site: Site) -> None:
    token = site.front.token("Ada", "operator")
    now_ms = int(time.time() * 1000)
    readings = [{"series": f"a/{n}", "time": now_ms - 1000, "value": 1.0} for n in range(100)]
    assert call(site, token, "/v1/gateways/gw-f/telemetry", "POST", {"readings": readings}).status == 202
    path = "/v1/gateways/gw-f/series"
    plain = call(site, token, path)
    assert len(plain.json["items"]) == 100
    packed = call(site, token, path, accept_encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) / 2
    assert call(site, token, path, if_none_match=plain.headers["etag"]).status == 304


def test_a_request_stores_three_thousand_series_within_the_timeout(site: Site) -> None:
    now_ms = int(time.time() * 1000)
    readings = [{"series": f"device-{n // 10}/x-{n % 10}", "time": now_ms, "value": 1.5} for n in range(3_000)]
    begin = time.monotonic()
    answer = call(
        site, site.front.token("Ada", "operator"), "/v1/gateways/gw-w/telemetry", "POST", {"readings": readings}
    )
    assert answer.json == {"accepted": 3_000, "duplicates": 0, "faults": []}
    assert time.monotonic() - begin < 30


def test_browsers_of_the_configured_origin_may_call_the_api(site: Site) -> None:
    url = f"{site.cloud.endpoint_url}/_aws/execute-api/{site.cloud.outputs['ApiId']}/v1/me"
    asked = {"access_control_request_method": "PUT", "access_control_request_headers": "authorization,if-match"}
    preflight = send(url, "OPTIONS", origin=ORIGIN, **asked)
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert "PUT" in preflight.headers["access-control-allow-methods"]
    assert "if-match" in preflight.headers["access-control-allow-headers"]
    answer = send(url, origin=ORIGIN, authorization=f"Bearer {site.front.token('Ada', 'viewer')}")
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "etag" in answer.headers["access-control-expose-headers"]
    other = send(url, "OPTIONS", origin="https://evil.example.com", access_control_request_method="GET")
    assert "access-control-allow-origin" not in other.headers


def test_without_a_cloud_and_a_page_the_front_answers_503(tmp_path: Path) -> None:
    with Front(dist=tmp_path) as front:
        assert send(f"{front.url}/v1/me").status == 503
        index = send(f"{front.url}/")
        assert index.status == 503
        assert b"build the page" in index.body
