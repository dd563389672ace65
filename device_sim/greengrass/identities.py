"""Tokens and their holders."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """Holder of a token: a component by name, or greengrass-cli."""

    name: str
    is_cli: bool = False


CLI = Identity("aws.greengrass.Cli", is_cli=True)


class Tokens:
    """One secret token per identity."""

    def __init__(self) -> None:
        self._tokens: dict[Identity, str] = {}

    def issue(self, identity: Identity) -> str:
        """Return the identity's token, created on first use."""
        return self._tokens.setdefault(identity, secrets.token_hex(16))

    def revoke_components(self) -> None:
        """Revoke the tokens of all components, as a restart of ggipcd does; new processes get new tokens."""
        self._tokens = {identity: token for identity, token in self._tokens.items() if identity.is_cli}

    def holder(self, token: object) -> Identity | None:
        """Return the token's holder or None, in constant time for invalid tokens."""
        given = token.encode(errors="surrogatepass") if isinstance(token, str) else b""
        found = None
        for identity, own in self._tokens.items():
            if hmac.compare_digest(own.encode(), given):
                found = identity
        return found
