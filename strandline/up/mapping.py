"""Mapping of a broker's topics: learned in the first run, kept in a file that the user may edit, and described."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strandline.errors import CommandError, reason
from strandline.sources.learn import propose
from strandline.sources.trial import TextReport, bindings, entries, try_payload

FILE = "sources.json"
PASSWORD_FILE = "broker-password"  # noqa: S105 # the name of a file
MAX_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Learned:
    """Proposed entry, lines that describe the topics that it reads, and a reason for each topic that it rejects."""

    entry: Mapping[str, Any]
    accepted: tuple[str, ...]
    rejected: Mapping[str, str]


def learn(connection: Mapping[str, Any], payloads: Mapping[str, bytes], now_ms: int) -> Learned:
    """Propose an entry for payloads (one a topic), and try it on each of them."""
    proposals, unread = propose(payloads)
    entry = {"name": "mqtt", "kind": "mqtt", **connection, "topics": proposals}
    rejected = {topic: f"no payload format reads {_sample(payloads[topic])}" for topic in unread}
    examples: dict[str, list[str]] = {}
    for topic, payload in payloads.items():
        if topic in rejected:
            continue
        lines: list[str] = []
        count = try_payload(entry, topic, payload, now_ms, TextReport(lines.append))
        if count:
            examples.setdefault(bindings(entry, topic)[0].topic, []).append(lines[0])
        else:
            rejected[topic] = "; ".join(dict.fromkeys(lines)) or "no measurement in the payload"
    accepted = [
        f"{pattern} ({_form(proposals, pattern)}; {len(found)} topics), for example {found[0]}"
        for pattern, found in examples.items()
    ]
    return Learned(entry, tuple(accepted), rejected)


def lines(learned: Learned) -> list[str]:
    """Return the description of a proposal as text."""
    found = [f"  accepted  {line}" for line in learned.accepted[:MAX_SHOWN]]
    found += [f"  rejected  {topic}: {why}" for topic, why in list(learned.rejected.items())[:MAX_SHOWN]]
    more = max(0, len(learned.accepted) - MAX_SHOWN) + max(0, len(learned.rejected) - MAX_SHOWN)
    return [*found, *([f"  and {more} more"] if more else [])]


def read(folder: Path) -> list[dict[str, Any]] | None:
    """Return the entries of the kept file, None without one; raises CommandError for an invalid one."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        document = json.loads(path.read_text())
        entries(document)
        return [dict(entry) for entry in document["sources"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CommandError(f"{path}: {reason(error)}; correct the file, or start with --learn-again") from error
    except CommandError as error:
        raise CommandError(f"{path}: {error}; correct the file, or start with --learn-again") from error


def keep(folder: Path, sources: Sequence[Mapping[str, Any]]) -> Path:
    """Write the entries to the file for later runs, and return its path; raises CommandError."""
    path = folder / FILE
    try:
        path.write_text(json.dumps({"sources": list(sources)}, indent=2) + "\n")
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error
    return path


def keep_password(folder: Path, password: str) -> str:
    """Write the password to a file that only this user can read, and return its absolute path; raises CommandError."""
    path = (folder / PASSWORD_FILE).absolute()
    try:
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(password)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error
    return str(path)


def _form(proposals: Sequence[Mapping[str, Any]], pattern: str) -> str:
    found = next((one for one in proposals if one["topic"] == pattern), {})
    return f"preset {found['preset']}" if "preset" in found else str(found.get("format", "json"))


def _sample(payload: bytes) -> str:
    start = payload[:40]
    if start.isascii() and (text := start.decode("ascii")).isprintable():
        return repr(text) + ("..." if len(payload) > len(start) else "")
    return f"{len(payload)} bytes, {payload[:8].hex(' ')}..."
