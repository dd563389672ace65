"""OpenID Connect issuer of the local cloud: RS256 tokens for any name and role, by a key that is made at its start."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

AUDIENCE = "strandline-local"
ROLE_CLAIM = "roles"
LIFETIME_S = 12 * 3_600
_KEY_ID = "local-1"


class Issuer:
    """Issuer at ``url``; its key and its tokens end with the process."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)

    def token(self, user: str, role: str, now_s: int, **claims: Any) -> str:
        """Return a signed token; ``claims`` replace or add single claims."""
        content = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": user,
            "username": user,
            ROLE_CLAIM: [role],
            "iat": now_s,
            "exp": now_s + LIFETIME_S,
        } | claims
        head = _part({"alg": "RS256", "typ": "JWT", "kid": _KEY_ID})
        signed = f"{head}.{_part(content)}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_text(signature)}"

    def configuration(self) -> dict[str, Any]:
        """Return the discovery document."""
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/.well-known/jwks.json",
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def keys(self) -> dict[str, Any]:
        """Return the public keys."""
        numbers = self._key.public_key().public_numbers()
        parts = {"n": _text(_bytes(numbers.n)), "e": _text(_bytes(numbers.e))}
        return {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": _KEY_ID} | parts]}


def _bytes(number: int) -> bytes:
    return number.to_bytes(-(-number.bit_length() // 8))


def _part(content: Mapping[str, Any]) -> str:
    return _text(json.dumps(content, separators=(",", ":")).encode())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
