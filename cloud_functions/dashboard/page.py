"""The built page as files, and the HTTP headers that it is served with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cloud_functions.core.errors import CloudError

DIST = Path(__file__).parent / "dist"
INDEX = "index.html"
CONFIG = "config.json"
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
}


class PageMissingError(CloudError):
    """The page is not built."""


def files(dist: Path = DIST) -> dict[str, Path]:
    """Return the files of the built page by name; raises PageMissingError if it is not built."""
    if not (dist / INDEX).is_file():
        raise PageMissingError(
            f"{dist / INDEX} does not exist: build the page with `python -m cloud_functions.dashboard.build` (or "
            "`make page`)"
        )
    return {path.name: path for path in sorted(dist.iterdir()) if path.suffix in CONTENT_TYPES}


def content_type(name: str) -> str:
    """Return the media type of a file of the page."""
    return CONTENT_TYPES[Path(name).suffix]


def cache_control(name: str) -> str:
    """Return how long a file may be cached: names with a hash for a year, the others never without a check."""
    return "public, max-age=31536000, immutable" if Path(name).suffix in (".js", ".css") else "no-cache"


def security_policy(connect: Sequence[str] = ()) -> str:
    """Return the Content-Security-Policy; ``connect`` are allowed origins of requests beside its own."""
    directives = {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'"],
        "connect-src": ["'self'", *connect],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
    return "; ".join(f"{name} {' '.join(values)}" for name, values in directives.items())


def headers(name: str, connect: Sequence[str] = ()) -> dict[str, str]:
    """Return the response headers of a file of the page."""
    return {
        "Content-Type": content_type(name),
        "Cache-Control": cache_control(name),
        "Content-Security-Policy": security_policy(connect),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }


def local_config(api: str = "/v1", token_url: str = "/local/token") -> bytes:  # noqa: S107 - an address
    """Return the content of ``config.json`` for the local cloud, which issues tokens itself."""
    return _encoded({"api": api, "login": {"type": "local", "url": token_url}})


def oidc_config(api: str, issuer: str, client_id: str, **optional: str) -> bytes:
    """Return the content of ``config.json`` for an OpenID Connect issuer; ``optional`` are more keys of ``login``."""
    login = {"type": "oidc", "issuer": issuer, "client_id": client_id} | optional
    return _encoded({"api": api, "login": login})


def _encoded(config: Mapping[str, Any]) -> bytes:
    return json.dumps(config, indent=1).encode() + b"\n"
