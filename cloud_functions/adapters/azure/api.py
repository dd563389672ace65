"""Handler of the API on Azure: the app's authentication verifies the caller's token and passes its claims on.

App Service puts the claims of a verified token into the header ``X-MS-CLIENT-PRINCIPAL``, and removes that header from
requests of clients. Without this authentication anyone could send the header: then every request is rejected.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
from typing import Any
from urllib.parse import urlsplit

import azure.functions as func

from cloud_functions.adapters.azure.blob_archive import BlobArchive
from cloud_functions.adapters.azure.handlers import change_logs
from cloud_functions.adapters.azure.storage import Storage
from cloud_functions.adapters.azure.table import AzureTable
from cloud_functions.adapters.functions import Options
from cloud_functions.adapters.rest import HttpRequest, Rest
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.ports import NowMs
from cloud_functions.rest.roles import RoleRules

PRINCIPAL = "x-ms-client-principal"
ROLE_CLAIM = "roles"
_UNAUTHORIZED = 401


class ApiHandler:
    """All routes of API v1. ``authenticated``: the authentication of the app is on."""

    def __init__(self, rest: Rest, authenticated: bool, log: logging.Logger) -> None:
        self._rest, self._authenticated, self._log = rest, authenticated, log

    def respond(self, request: func.HttpRequest) -> func.HttpResponse:
        """Answer a request."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        principal = headers.pop(PRINCIPAL, "")
        if not self._authenticated:
            self._log.error("request rejected: the authentication of the app is off")
            return _unauthorized()
        try:
            claims = claims_of(principal)
        except ValueError as error:
            self._log.warning("request rejected: %s", error)
            return _unauthorized()
        url = urlsplit(request.url)
        answer = self._rest.respond(
            HttpRequest(request.method, url.path, url.query, headers, request.get_body(), claims)
        )
        return func.HttpResponse(answer.body, status_code=answer.status, headers=dict(answer.headers))


def rest_of(
    storage: Storage, options: Options, rules: RoleRules, now_ms: NowMs, metrics: Metrics, log: logging.Logger
) -> Rest:
    """Return the routes over the tables and the archive of a storage account."""
    from cloud_functions.core.archive_reader import FileArchiveReader

    logs = change_logs(storage, now_ms)
    telemetry = AzureTable(storage.table("telemetry"), logs["telemetry"])
    alerts = AzureTable(storage.table("alerts"), logs["alerts"])
    archive = FileArchiveReader(telemetry, BlobArchive(storage.container("archive")))
    return Rest(telemetry, alerts, archive, options, rules, now_ms, metrics, log)


def claims_of(principal: str) -> dict[str, Any]:
    """Return the claims of the header; the roles are those of ``roles``. Raises ValueError for another text."""
    try:
        found = json.loads(base64.b64decode(principal, validate=True))
        pairs = [(str(claim["typ"]), str(claim["val"])) for claim in found["claims"]]
        role_type, name_type = str(found.get("role_typ", "")), str(found.get("name_typ", ""))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, binascii.Error) as error:
        raise ValueError(f"not a principal: {type(error).__name__}") from error
    claims: dict[str, Any] = {}
    for name, value in pairs:
        claims.setdefault(name, value)
        if name == name_type:
            claims.setdefault("username", value)
    claims[ROLE_CLAIM] = [value for name, value in pairs if name in (ROLE_CLAIM, role_type)]
    return claims


def _unauthorized() -> func.HttpResponse:
    body = json.dumps({"type": "about:blank", "status": _UNAUTHORIZED, "detail": "a valid token is required"})
    headers = {"WWW-Authenticate": "Bearer"}
    return func.HttpResponse(body, status_code=_UNAUTHORIZED, headers=headers, mimetype="application/problem+json")
