"""Push requests of Pub/Sub: only those of the subscription's account are read, and their messages become envelopes."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest

from cloud_functions.adapters.google.push import InvalidPushError, read_batch
from cloud_functions.adapters.google.tokens import FETCH_AGAIN_MS, PushVerifier, UnauthorizedError
from cloud_functions.core.arrival import read_envelope
from device_sim.google.push import TokenIssuer

AUDIENCE, ACCOUNT = "https://ingest.example", "push@project.iam.gserviceaccount.com"
NOW_MS = 1_700_000_000_000
ISSUER = TokenIssuer(AUDIENCE, ACCOUNT)


class Certificates:
    """Certificates of an issuer; counts how often they are fetched."""

    def __init__(self) -> None:
        self.current, self.fetches, self.now_ms = dict(ISSUER.certificates), 0, NOW_MS

    def __call__(self) -> dict[str, str]:
        self.fetches += 1
        return self.current

    def verifier(self) -> PushVerifier:
        return PushVerifier(self, AUDIENCE, ACCOUNT, lambda: self.now_ms)


def test_a_token_of_the_subscription_is_accepted_and_the_certificates_are_kept() -> None:
    certificates = Certificates()
    verifier = certificates.verifier()
    for _ in range(3):
        verifier.verify(f"Bearer {ISSUER.token()}")
    assert certificates.fetches == 1


@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        ({"aud": "https://other.example"}, "not valid"),
        ({"exp": int(time.time()) - 600, "iat": int(time.time()) - 4_000}, "not valid"),
        ({"iat": int(time.time()) + 3_000, "exp": int(time.time()) + 6_000}, "not valid"),
        ({"iss": "https://issuer.example"}, "issuer"),
        ({"email": "other@project.iam.gserviceaccount.com"}, "account"),
        ({"email_verified": False}, "account"),
        ({"email_verified": "true"}, "account"),
    ],
)
def test_another_claim_is_rejected(claims: dict[str, Any], problem: str) -> None:
    with pytest.raises(UnauthorizedError, match=problem):
        Certificates().verifier().verify(f"Bearer {ISSUER.token(**claims)}")


def test_a_token_that_is_missing_forged_or_of_another_key_is_rejected() -> None:
    header, body, signature = ISSUER.token().split(".")
    unsigned = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": "local"}).encode()).decode().rstrip("=")
    other = TokenIssuer(AUDIENCE, ACCOUNT).token()
    flipped = ("A" if signature[10] != "A" else "B").join((signature[:10], signature[11:]))
    for token in ("", "x", "a.b.c", f"{header}.{body}.", f"{header}.{body}.{flipped}", f"{unsigned}.{body}.", other):
        with pytest.raises(UnauthorizedError):
            Certificates().verifier().verify(f"Bearer {token}")
    with pytest.raises(UnauthorizedError, match="no bearer token"):
        Certificates().verifier().verify("Basic YTpi")


def test_certificates_are_fetched_again_for_a_new_key_but_at_a_limited_rate() -> None:
    certificates = Certificates()
    certificates.current = {}
    verifier = certificates.verifier()
    for _ in range(5):
        with pytest.raises(UnauthorizedError):
            verifier.verify(f"Bearer {ISSUER.token()}")
    assert certificates.fetches == 1
    certificates.current = dict(ISSUER.certificates)
    certificates.now_ms += FETCH_AGAIN_MS
    verifier.verify(f"Bearer {ISSUER.token()}")
    assert certificates.fetches == 2


def pushed(**changes: Any) -> bytes:
    message = {
        "data": base64.b64encode(b"batch").decode(),
        "attributes": {"topic": "strandline/v1/gw-1/bulk"},
        "messageId": "12",
        "publishTime": "2023-11-14T22:13:20.123456789Z",
    }
    return json.dumps({"message": message | changes, "subscription": "s", "deliveryAttempt": 3}).encode()


def test_a_message_becomes_the_envelope_of_the_core() -> None:
    found = read_batch(pushed(), NOW_MS + 1)
    assert (found.id, found.attempt) == ("12", 3)
    envelope = read_envelope(found.body)
    assert (envelope.data, envelope.gateway, envelope.lane) == (b"batch", "gw-1", "bulk")
    assert envelope.received_ms == NOW_MS + 123
    assert read_envelope(read_batch(pushed(publishTime=None), NOW_MS + 1).body).received_ms == NOW_MS + 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"message": 5}',
        b'{"message": {}}',
        pushed(publishTime="noon"),
        pushed(attributes=5),
    ],
)
def test_a_request_of_another_form_is_rejected(content: bytes) -> None:
    with pytest.raises(InvalidPushError, match="not a push request"):
        read_batch(content, NOW_MS)
