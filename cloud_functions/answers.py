"""How the HTTP functions answer: JSON, and what is wrong as one sentence a problem."""

from __future__ import annotations

import json
from typing import Any

from aws_lambda_powertools.event_handler import Response, content_types

from cloud_functions.core.errors import DifferentError, NotFoundError, RequestError


def answer(status: int, body: dict[str, Any]) -> Response[str]:
    """Return a response with a JSON body."""
    return Response(status, content_types.APPLICATION_JSON, json.dumps(body))


def refusal(error: RequestError) -> Response[str]:
    """Return what says what is wrong with a request."""
    status = 404 if isinstance(error, NotFoundError) else 409 if isinstance(error, DifferentError) else 400
    return answer(status, {"problems": list(error.problems)})


def try_again() -> Response[str]:
    """Return what says that the store did not answer, and that the request was not at fault."""
    return answer(503, {"problems": ["the store did not answer; the same request may be sent again"]})
