"""Payload of a Slack incoming webhook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloud_functions.core.messages.text import alerts_of, facts, one_line, subject

MAX_BLOCKS = 10
_COLORS = {"critical": "#c62828", "warning": "#ef6c00", "info": "#1565c0"}


def payload(event: Mapping[str, Any], link: str = "") -> dict[str, Any]:
    """Return the message. Text of the event is in ``plain_text`` only, in which Slack interprets no markup."""
    title = subject(event)
    blocks: list[dict[str, Any]] = [{"type": "header", "text": _plain(title, 150)}]
    for alert in alerts_of(event)[:MAX_BLOCKS]:
        lines = [f"{name}: {text}" for name, text in facts(alert)]
        blocks.append({"type": "section", "text": _plain("\n".join(lines), 2_900)})
        if link:
            button = {"type": "button", "text": _plain("Open", 20), "url": f"{link}#/alerts/{alert['id']}"}
            blocks.append({"type": "actions", "elements": [button]})
    color = _COLORS.get(str(alerts_of(event)[0]["severity"]), _COLORS["info"])
    return {"text": escape(title), "attachments": [{"color": color, "fallback": escape(title), "blocks": blocks}]}


def escape(text: str) -> str:
    """Return text for mrkdwn: the three characters that begin links and mentions are escaped."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _plain(text: str, longest: int) -> dict[str, Any]:
    shortened = text if len(text) <= longest else text[: longest - 3] + "..."
    return {"type": "plain_text", "text": shortened or one_line(text, longest), "emoji": False}
