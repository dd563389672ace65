"""The OpenAPI description: equal to the routes, valid, and served."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cloud_functions.api.about import DESCRIPTION
from cloud_functions.api.describe import description
from cloud_functions.api.table import ROUTES
from cloud_functions.forecast.routes import ROUTES as FORECAST_ROUTES
from cloud_functions.rest.openapi import describe, text
from cloud_functions.rest.roles import Role
from cloud_functions.rest.routes import Route
from cloud_functions.rest.schema import TEXT, named, record
from tests.unit.cloud.api_site import ApiSite


def test_the_shipped_description_is_that_of_the_routes():
    assert DESCRIPTION.read_text() == text(description()), "run python -m cloud_functions.api.describe"


@pytest.mark.slow
def test_the_description_is_valid_openapi():
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(description())
    assert description()["openapi"].startswith("3.1")


def test_the_description_has_each_route_with_its_role_and_its_errors():
    paths = description()["paths"]
    described = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert described == {(route.method, route.path) for route in (*ROUTES, *FORECAST_ROUTES)}
    ids = [operation["operationId"] for methods in paths.values() for operation in methods.values()]
    assert len(set(ids)) == len(ids)
    put = paths["/v1/routes/{name}"]["put"]
    assert put["description"] == "Role: admin"
    assert {"200", "400", "401", "403", "412", "415", "503"} <= set(put["responses"])
    assert [one["name"] for one in put["parameters"]] == ["name", "If-Match", "If-None-Match"]


def test_the_api_serves_its_description():
    assert ApiSite().call("GET", "/v1/openapi.json", role="viewer").json == json.loads(DESCRIPTION.read_text())


def test_two_schemas_under_one_title_are_an_error():
    def handle(request: Any, services: Any) -> dict[str, Any]:
        return {}

    one = named("One", record({"a": TEXT}))
    routes = [Route("GET", f"/v1/{n}", Role.VIEWER, handle, "x", answer) for n, answer in enumerate([one, one])]
    assert list(describe(routes, "t", "1")["components"]["schemas"]) == ["One", "Problem"]
    routes.append(Route("GET", "/v1/2", Role.VIEWER, handle, "x", named("One", record({"b": TEXT}))))
    with pytest.raises(ValueError, match="title One"):
        describe(routes, "t", "1")
