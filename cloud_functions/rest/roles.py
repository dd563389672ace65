"""Callers and their roles: from a claim of the JWT, or by the ARN of the IAM identity.

A viewer reads; an operator also acknowledges alerts, posts telemetry and edits rules, silences and limits; an admin
also edits routes and channels. A role includes those below it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Any

from cloud_functions.core.errors import CloudError

MAX_USER = 256
_USER_CLAIMS = ("email", "cognito:username", "username", "preferred_username", "sub")
"""Claims that name the person, the most readable first; one of them is in every token."""


class Role(IntEnum):
    """Role of a caller; a greater one includes the smaller ones."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    @property
    def label(self) -> str:
        """Its name in claims, settings and answers."""
        return self.name.lower()


LABELS = {role.label: role for role in Role}


@dataclass(frozen=True, slots=True)
class Caller:
    """Authenticated caller: ``user`` is a name for people, ``role`` None for a caller without one."""

    user: str
    role: Role | None


@dataclass(frozen=True, slots=True)
class RoleRules:
    """Rules by which callers get roles.

    ``claim`` is the claim of a JWT with one or more roles. ``iam`` are pairs of a pattern of ARNs and a role; the first
    that matches counts.
    """

    claim: str
    iam: Sequence[tuple[str, Role]]

    @classmethod
    def read(cls, claim: str, iam: str) -> RoleRules:
        """Return the rules of the settings; ``iam`` is ``PATTERN=ROLE,...``. Raises CloudError for an invalid one."""
        pairs = []
        for part in filter(None, (part.strip() for part in iam.split(","))):
            pattern, equals, label = part.rpartition("=")
            if not equals or not pattern or label not in LABELS:
                raise CloudError(f"IamRoles: {part!r:.200}: PATTERN=ROLE with one of {', '.join(LABELS)}")
            pairs.append((pattern, LABELS[label]))
        return cls(claim, tuple(pairs))

    def caller(self, context: Mapping[str, Any]) -> Caller:
        """Return the caller of a request; ``context`` is the ``requestContext`` of API Gateway's payload 2.0."""
        authorizer = context.get("authorizer") or {}
        claims = (authorizer.get("jwt") or {}).get("claims")
        if claims:
            user = next((str(claims[name]) for name in _USER_CLAIMS if claims.get(name)), "unknown")
            return Caller(_printable(user), self._of_claim(claims.get(self.claim)))
        arn = str((authorizer.get("iam") or {}).get("userArn") or "")
        if not arn:
            return Caller("unknown", None)
        role = next((role for pattern, role in self.iam if fnmatchcase(arn, pattern)), None)
        return Caller(_printable(arn), role)

    @staticmethod
    def _of_claim(value: Any) -> Role | None:
        # API Gateway passes a list as text: [viewer operator].
        texts = value if isinstance(value, list) else re.split(r"[\s,\[\]]+", str(value or ""))
        return max((LABELS[text] for text in map(str, texts) if text in LABELS), default=None)


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:MAX_USER] or "unknown"
