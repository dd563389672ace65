"""Sender of the API client that is answered by the API in memory."""

from __future__ import annotations

from urllib.parse import urlsplit

from strandline.api.transport import Request, Response
from tests.unit.cloud.api_site import ApiSite, event


def sender_to(site: ApiSite, role: str | None = "admin"):
    """Return a sender of requests to a site as a role."""

    def send(request: Request) -> Response:
        parts = urlsplit(request.url)
        answer = site.raw(event(request.method, parts.path, parts.query, request.body or b"", request.headers, role))
        return Response(answer.status, answer.headers, answer.content)

    return send
