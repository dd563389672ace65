"""Authorization of the API with IAM: the local cloud checks signatures and policies, as the routes require."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from cloud_functions.api.table import ROUTES
from cloud_functions.forecast.routes import ROUTES as FORECAST_ROUTES
from device_sim.aws.local import LocalCloud
from device_sim.aws.process import DIRECT

ALL = [f"{route.method} {route.path}" for route in (*ROUTES, *FORECAST_ROUTES)]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with LocalCloud.start(tmp_path_factory.mktemp("cloud")) as running:
        yield running


@pytest.fixture(scope="module")
def reader(cloud: LocalCloud) -> Credentials:
    """A user who may read one gateway and nothing else."""
    iam = cloud.client("iam")
    user = iam.create_user(UserName="reader")["User"]
    account = user["Arn"].split(":")[4]
    resource = f"arn:aws:execute-api:{cloud.region}:{account}:{cloud.outputs['ApiId']}/*/GET/v1/gateways/gw-1"
    statement = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": resource}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=policy)
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    return Credentials(key["AccessKeyId"], key["SecretAccessKey"])


def call(cloud: LocalCloud, method: str, path: str, signer: Credentials) -> tuple[int, Any]:
    url = f"{cloud.endpoint_url}/_aws/execute-api/{cloud.outputs['ApiId']}{path}"
    data = None if method == "GET" else b"{}"
    request = AWSRequest(method, url, {"content-type": "application/json"}, data)
    SigV4Auth(signer, "execute-api", cloud.region).add_auth(request)
    sent = urllib.request.Request(url, data, dict(request.headers), method=method)  # noqa: S310 - loopback
    try:
        with DIRECT.open(sent, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace")


@pytest.mark.parametrize("route", ALL)
def test_every_route_rejects_requests_without_credentials(cloud: LocalCloud, route: str) -> None:
    method, path = route.split(" ")
    path = re.sub(r"\{\w+\}", "gw-1", path)
    status, _ = cloud.call_api(method, path, None if method == "GET" else {}, signed=False)
    assert status in (401, 403)


def test_every_route_rejects_wrong_signatures_and_unknown_keys(cloud: LocalCloud, reader: Credentials) -> None:
    forged = Credentials(reader.access_key, "0" * 40)
    assert call(cloud, "GET", "/v1/gateways/gw-1", forged)[0] in (401, 403)
    unknown = Credentials("AKIA0000000000000000", "0" * 40)
    assert call(cloud, "GET", "/v1/gateways/gw-1", unknown)[0] in (401, 403)


def test_a_caller_is_limited_to_its_policy(cloud: LocalCloud, reader: Credentials) -> None:
    # Authorized, but the gateway does not exist yet: only the function returns 404.
    assert call(cloud, "GET", "/v1/gateways/gw-1", reader)[0] == 404
    for method, path in (
        ("GET", "/v1/gateways"),
        ("GET", "/v1/gateways/gw-2"),
        ("POST", "/v1/gateways/gw-1/telemetry"),
    ):
        assert call(cloud, method, path, reader)[0] == 403
