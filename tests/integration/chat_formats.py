"""Receivers of chat services and incident managers: each accepts only what its service documents, else answers 400.

Checked are required fields, types, allowed values and lengths, in place of the services, which cannot be reached:

- Slack, incoming webhooks: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks and, for the
  lengths of blocks, https://docs.slack.dev/reference/block-kit/blocks.
- Microsoft Teams, a workflow's webhook: https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using
  (an adaptive card as attachment; 28 KB at most), and https://adaptivecards.io/explorer for the elements.
- PagerDuty, Events API v2: https://developer.pagerduty.com/docs/send-alert-event.
- Opsgenie, Alert API: https://docs.opsgenie.com/docs/alert-api.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

ROUTING_KEY, API_KEY = "0123456789abcdef0123456789abcdef", "11111111-2222-3333-4444-555555555555"


class Received(NamedTuple):
    """A request: the path behind the URL of the channel, its query, headers with lower-case names, and the body."""

    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Any


class FormatError(Exception):
    """Difference from a documented format."""


def receiver(check: Callable[[Received], None], base: str, found: list[Received], faults: list[str]) -> Any:
    """Return a handler that keeps the requests that a check accepts, and the faults of the others."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Received(parts.path.removeprefix(base), parse_qs(parts.query), headers, json.loads(raw))
            status = 202
            try:
                _require(headers["content-type"] == "application/json", f"content-type {headers['content-type']}")
                check(request)
                found.append(request)
            except (FormatError, KeyError, TypeError, ValueError) as error:
                faults.append(f"{type(error).__name__}: {error}: {raw[:500]!r}")
                status = 400
            self.send_response(status)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


def check_slack(request: Received) -> None:
    """Check the message of an incoming webhook."""
    body = request.body
    _text(body["text"], 40_000)
    blocks = [block for attachment in body["attachments"] for block in attachment["blocks"]]
    _require(1 <= len(blocks) <= 50, f"{len(blocks)} blocks")
    for block in blocks:
        if block["type"] == "header":
            _plain_text(block["text"], 150)
        elif block["type"] == "section":
            _plain_text(block["text"], 3_000)
        elif block["type"] == "actions":
            _require(1 <= len(block["elements"]) <= 25, "elements of actions")
            for button in block["elements"]:
                _require(button["type"] == "button", button["type"])
                _plain_text(button["text"], 75)
                _text(button["url"], 3_000)
        else:
            raise FormatError(f"block {block['type']}")


def check_teams(request: Received) -> None:
    """Check the message of a workflow's webhook."""
    _require(len(json.dumps(request.body)) <= 28_000, "more than 28 KB")
    _require(request.body["type"] == "message", request.body["type"])
    (attachment,) = request.body["attachments"]
    _require(attachment["contentType"] == "application/vnd.microsoft.card.adaptive", attachment["contentType"])
    card = attachment["content"]
    _require((card["type"], card["version"]) == ("AdaptiveCard", "1.4"), f"{card['type']} {card['version']}")
    _require(bool(card["body"]), "a card without a body")
    for element in card["body"]:
        _require(element["type"] == "RichTextBlock", element["type"])
        for run in element["inlines"]:
            _require(run["type"] == "TextRun", run["type"])
            _text(run["text"], 28_000)
    for action in card["actions"]:
        _require(action["type"] == "Action.OpenUrl", action["type"])
        _text(action["url"], 3_000)


def check_pagerduty(request: Received) -> None:
    """Check an alert event."""
    body = request.body
    _require(request.path == "/v2/enqueue", request.path)
    _require(body["routing_key"] == ROUTING_KEY, "routing_key")
    _require(body["event_action"] in ("trigger", "acknowledge", "resolve"), body["event_action"])
    _text(body["dedup_key"], 255)
    payload = body["payload"]
    _text(payload["summary"], 1_024)
    _text(payload["source"], 1_024)
    _require(payload["severity"] in ("critical", "error", "warning", "info"), payload["severity"])
    datetime.fromisoformat(payload["timestamp"])
    _require(isinstance(payload["custom_details"], dict), "custom_details")
    for link in body["links"]:
        _text(link["href"], 2_000)


def check_opsgenie(request: Received) -> None:
    """Check the creation of an alert, or an action on one that is named by its alias."""
    _require(request.headers["authorization"] == f"GenieKey {API_KEY}", "authorization")
    body = request.body
    action = re.fullmatch(r"/v2/alerts/([^/]+)/(acknowledge|close)", request.path)
    if action is not None:
        _require(request.query == {"identifierType": ["alias"]}, f"query {request.query}")
        _text(unquote(action[1]), 512)
        _text(body["note"], 25_000)
        _text(body["source"], 100)
        return
    _require(request.path == "/v2/alerts", request.path)
    for name, longest in (("message", 130), ("alias", 512), ("description", 15_000), ("source", 100), ("entity", 512)):
        _text(body[name], longest)
    _require(body["priority"] in ("P1", "P2", "P3", "P4", "P5"), body["priority"])
    for value in body["details"].values():
        _text(value, 8_000)


def _plain_text(block: Mapping[str, Any], longest: int) -> None:
    _require(block["type"] == "plain_text", block["type"])
    _text(block["text"], longest)


def _text(value: object, longest: int) -> None:
    _require(isinstance(value, str) and 1 <= len(value) <= longest, f"{value!r:.80}: a text of 1 to {longest}")


def _require(holds: bool, fault: str) -> None:
    if not holds:
        raise FormatError(fault)
