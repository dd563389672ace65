"""Tokens, and who holds them."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """Who speaks on a connection: a component by its name, or the command line's client."""

    name: str
    is_cli: bool = False


CLI = Identity("aws.greengrass.Cli", is_cli=True)


class Tokens:
    """One secret token an identity, for the nucleus' life."""

    def __init__(self) -> None:
        self._tokens: dict[Identity, str] = {}

    def issue(self, identity: Identity) -> str:
        """Return the identity's token, made on first use."""
        return self._tokens.setdefault(identity, secrets.token_hex(16))

    def holder(self, token: object) -> Identity | None:
        """Return whose token this is, or None; takes the same time for every wrong token."""
        given = token.encode(errors="surrogatepass") if isinstance(token, str) else b""
        found = None
        for identity, own in self._tokens.items():
            if hmac.compare_digest(own.encode(), given):
                found = identity
        return found
