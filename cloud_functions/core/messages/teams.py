"""Payload of a Microsoft Teams workflow webhook: an adaptive card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloud_functions.core.messages.text import alerts_of, facts, subject

MAX_SHOWN = 10


def payload(event: Mapping[str, Any], link: str = "") -> dict[str, Any]:
    """Return the message. Text is in text runs, in which Teams interprets no Markdown."""
    content = [_run(subject(event), weight="Bolder", size="Large")]
    for alert in alerts_of(event)[:MAX_SHOWN]:
        content += [_run(f"{name}: {text}") for name, text in facts(alert)]
    actions = [
        {"type": "Action.OpenUrl", "title": "Open", "url": f"{link}#/alerts/{alert['id']}"}
        for alert in alerts_of(event)[:1]
        if link
    ]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": content,
        "actions": actions,
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _run(text: str, **style: str) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **style}]}
