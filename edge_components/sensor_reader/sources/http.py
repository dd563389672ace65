"""Readings from a device or service that answers HTTP requests: polled at an interval, through the standard library."""

from __future__ import annotations

import base64
import http.client
import ssl
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_components.common.config import absolute_path, integer, mapping, text
from edge_components.common.errors import ConfigError
from edge_components.sensor_reader.errors import SourceError
from edge_components.sensor_reader.mapping.bindings import Binding
from edge_components.sensor_reader.mapping.decoder import Decoder
from edge_components.sensor_reader.mapping.entry import read_with_mapping
from edge_components.sensor_reader.source_thread import Outlet, ThreadSource, rounds
from edge_components.sensor_reader.sources import Context, Kind, Level

_HEADERS = "an object from names of headers to text"


def _headers(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError(_HEADERS)
    headers = {str(name): str(content) for name, content in value.items()}
    if any(set(name + content) & {"\r", "\n", "\0"} for name, content in headers.items()):
        raise ValueError(_HEADERS)
    return headers


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """One address. The keys of the mapping apply to its answers."""

    url: str = text("", "address to request", pattern=r"https?://[^\s]{1,1000}", allowed="an http or https address")
    interval_ms: int = integer(10_000, 100, 86_400_000, "milliseconds between two requests")
    timeout_ms: int = integer(5_000, 100, 60_000, "milliseconds to wait for an answer")
    headers: dict[str, str] = mapping({}, _headers, _HEADERS, "headers of the request")  # noqa: RUF009
    username: str = text("", "user for basic authentication", pattern=r"[^\x00-\x1f:]{0,128}")
    password_file: str = absolute_path("file whose content is the password")
    ca_file: str = absolute_path("certificates trusted to sign the server's; empty for the system's")
    max_payload_bytes: int = integer(1_048_576, 16, 16_777_216, "a longer answer is rejected")

    def __post_init__(self) -> None:
        if not self.url:
            raise ConfigError(["url: '' is not allowed, expected an http or https address"])


@dataclass(frozen=True, slots=True)
class HttpEntry:
    """An address, and the mapping of its answers."""

    settings: HttpSettings
    binding: Binding


class HttpWorker:
    """Polls one address; see edge_components.sensor_reader.source_thread.Worker."""

    def __init__(self, settings: HttpSettings, context: Context) -> None:
        self._settings, self._context = settings, context

    def work(self, outlet: Outlet) -> None:
        """Request until asked to stop; raises SourceError for files that cannot be used."""
        settings = self._settings
        request, tls = self._prepare()
        for _ in rounds(outlet, self._context.clock, settings.interval_ms / 1000):
            try:
                with urllib.request.urlopen(request, timeout=settings.timeout_ms / 1000, context=tls) as answer:  # noqa: S310
                    content = answer.read(settings.max_payload_bytes + 1)
            except (OSError, http.client.HTTPException, ValueError) as error:
                outlet.failure = f"{settings.url}: {error}"
                outlet.reject("http_failed", outlet.failure, key=settings.url)
            else:
                outlet.works()
                if len(content) > settings.max_payload_bytes:
                    outlet.reject("rejected_size", f"an answer above {settings.max_payload_bytes} bytes")
                else:
                    outlet.put([content])

    def _prepare(self) -> tuple[urllib.request.Request, ssl.SSLContext | None]:
        settings = self._settings
        headers = {"Accept": "application/json, */*", **settings.headers}
        try:
            if settings.username:
                password = Path(settings.password_file).read_text().strip() if settings.password_file else ""
                pair = base64.b64encode(f"{settings.username}:{password}".encode()).decode()
                headers["Authorization"] = f"Basic {pair}"
            tls = None
            if settings.url.startswith("https"):
                tls = ssl.create_default_context(cafile=settings.ca_file or None)
        except (OSError, ValueError) as error:
            raise SourceError(f"cannot use {settings.password_file or settings.ca_file}: {error}") from error
        return urllib.request.Request(settings.url, headers=headers), tls  # noqa: S310 # http and https only


def read_http(values: Mapping[str, Any]) -> HttpEntry:
    """Return the settings of an entry; raises ConfigError."""
    return HttpEntry(*read_with_mapping(HttpSettings, values, {"value": "**"}))


def open_http(entry: HttpEntry, context: Context) -> ThreadSource:
    """Return the source of one address."""
    hang_s = 60.0 + (entry.settings.timeout_ms + entry.settings.interval_ms) / 1000
    worker = HttpWorker(entry.settings, context)
    return ThreadSource(context, lambda: worker, hang_s=hang_s, decoder=Decoder(entry.binding))


KIND = Kind(HttpSettings, open_http, read_http, level=Level.GOLD)
