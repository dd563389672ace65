"""JSON responses and error handling of the HTTP functions; each problem is one sentence."""

from __future__ import annotations

import json
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response, content_types

from cloud_functions.core.errors import DifferentError, NotFoundError, RequestError, StoreError


def answer(status: int, body: dict[str, Any]) -> Response[str]:
    """Return a response with a JSON body."""
    return Response(status, content_types.APPLICATION_JSON, json.dumps(body))


def answer_errors(app: APIGatewayHttpResolver, log: Logger) -> None:
    """Register handlers on ``app``: 4xx with the problems of a bad request, 503 for a failing store."""

    @app.exception_handler(RequestError)  # type: ignore[untyped-decorator]
    def reject(error: RequestError) -> Response[str]:
        status = 404 if isinstance(error, NotFoundError) else 409 if isinstance(error, DifferentError) else 400
        return answer(status, {"problems": list(error.problems)})

    @app.exception_handler(StoreError)  # type: ignore[untyped-decorator]
    def store_failed(error: StoreError) -> Response[str]:
        log.error("store: %s", error)
        return answer(503, {"problems": ["the store is not available; the request can be repeated"]})
