"""Groups: alerts of a route that share a notification.

The first transition of a group is sent after the route's ``group_wait_s``, at once by default. Later ones wait, and
those of each ``group_interval_s`` share one notification, until an interval passes without any.

A transition is first stored as a member of its group, then the head of the group is updated. A sender claims the head
by an optimistic write, so that one of several concurrent senders sends, and removes the members after the queue has
accepted the notification: a crash in between repeats them, and loses none.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloud_functions.core import keys
from cloud_functions.core.cloudevents import notification
from cloud_functions.core.deliveries import Delivery
from cloud_functions.core.errors import ConflictError, StoreError
from cloud_functions.core.ports import ErasableTable, Item, Key, NowMs, Outbox

ATTEMPTS = 30
MAX_MEMBERS = 2_000
"""Transitions that one notification covers; more of them take another one."""
EXPIRES_MS = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Group:
    """A group of a route for one channel; ``name`` is its key in the table, ``title`` names it for people."""

    route: str
    channel: str
    channel_type: str
    title: str
    wait_ms: int
    interval_ms: int

    @property
    def name(self) -> str:
        """Key of the group, without characters that the keys of the table use."""
        return f"{self.route}|{self.channel}|{self.title}"


class Groups:
    """The groups of the alerts table; notifications go to ``outbox``. Every method raises StoreError."""

    def __init__(self, table: ErasableTable, outbox: Outbox, now_ms: NowMs) -> None:
        self._table, self._outbox, self._now_ms = table, outbox, now_ms

    def add(self, members: Mapping[Group, Mapping[str, Mapping[str, Any]]]) -> int:
        """Add transitions, by group and event id; send what is due at once, and return the number of notifications."""
        expires_at = (self._now_ms() + EXPIRES_MS) // 1000
        self._table.put_many(
            _member(group, event_id, body, expires_at)
            for group, events in members.items()
            for event_id, body in events.items()
        )
        return sum(self.flush(group.name) for group in members if self._touch(group) <= self._now_ms())

    def flush_due(self, bucket: int) -> int:
        """Send the due notifications of a part of the groups; return their number."""
        now_ms = self._now_ms()
        due = [str(item["sk"]) for item in self._table.query(keys.groups(bucket)) if int(item["due_ms"]) <= now_ms]
        return sum(self.flush(name) for name in due)

    def flush(self, name: str) -> int:
        """Send the notification of a group if it is due; return 1 if it was sent."""
        key = keys.group(name)
        head = self._table.get(key)
        now_ms = self._now_ms()
        if head is None or int(head["due_ms"]) > now_ms:
            return 0
        version = int(head["version"])
        claimed: Item = head | {"due_ms": now_ms + int(head["interval_ms"])}
        if not self._table.replace(claimed, version):
            return 0
        pk = keys.member(name, "").pk
        found = list(itertools.islice(self._table.query(pk), MAX_MEMBERS + 1))
        if not found:
            # A member that is added meanwhile changes the head's version, and the group stays.
            self._table.delete(key, version + 1)
            return 0
        taken = found[:MAX_MEMBERS]
        try:
            self._send(claimed, version + 1, [json.loads(str(item["body"])) for item in taken])
        except StoreError:
            self._table.replace(claimed | {"due_ms": now_ms}, version + 1)
            raise
        self._table.remove([Key(str(item["pk"]), str(item["sk"])) for item in taken])
        if len(found) > MAX_MEMBERS:
            self._table.replace(claimed | {"due_ms": now_ms}, version + 1)
            return 1 + self.flush(name)
        return 1

    def _send(self, head: Item, generation: int, members: list[dict[str, Any]]) -> None:
        name = str(head["sk"])
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        event_id = f"{digest}-{int(head['opened_ms'])}-{generation}"
        event = notification(event_id, str(head["route"]), str(head["title"]), members, self._now_ms())
        delivery = Delivery(str(head["channel"]), str(members[0]["gateway"]), event)
        self._outbox.put(str(head["channel_type"]), [delivery.to_json()])

    def _touch(self, group: Group) -> int:
        """Create or change the head of a group; return the time at which its next notification is due."""
        key = keys.group(group.name)
        for _ in range(ATTEMPTS):
            now_ms = self._now_ms()
            head = self._table.get(key)
            due_ms = now_ms + group.wait_ms if head is None else int(head["due_ms"])
            fresh: Item = {
                "pk": key.pk,
                "sk": key.sk,
                "kind": "group",
                "route": group.route,
                "channel": group.channel,
                "channel_type": group.channel_type,
                "title": group.title,
                "interval_ms": group.interval_ms,
                "opened_ms": now_ms if head is None else head["opened_ms"],
                "due_ms": due_ms,
                "expires_at": (max(now_ms, due_ms) + EXPIRES_MS) // 1000,
            }
            if self._table.replace(fresh, 0 if head is None else int(head["version"])):
                return due_ms
        raise ConflictError(f"group {group.name}: changed by others {ATTEMPTS} times in a row")


def _member(group: Group, event_id: str, body: Mapping[str, Any], expires_at: int) -> Item:
    key = keys.member(group.name, event_id)
    text = json.dumps(dict(body), separators=(",", ":"), sort_keys=True)
    return {"pk": key.pk, "sk": key.sk, "kind": "member", "body": text, "expires_at": expires_at}
