"""Provisioning of a gateway: a thing, its certificate, and the policy of the template."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class GatewayCredentials:
    """MQTT endpoint (TLS) of a gateway and the files of its identity.

    The client id must be the gateway's name.
    """

    name: str
    host: str
    port: int
    cert: Path
    key: Path
    ca: Path


def provision(iot: Any, name: str, policy: str, folder: Path) -> tuple[Path, Path]:
    """Create the thing ``name`` with a new certificate and ``policy``; return the files of certificate and key."""
    iot.create_thing(thingName=name)
    made = iot.create_keys_and_certificate(setAsActive=True)
    iot.attach_policy(policyName=policy, target=made["certificateArn"])
    iot.attach_thing_principal(thingName=name, principal=made["certificateArn"])
    folder.mkdir(parents=True, exist_ok=True)
    cert, key = folder / "certificate.pem", folder / "private.key"
    cert.write_text(made["certificatePem"])
    key.touch(mode=0o600)
    key.write_text(made["keyPair"]["PrivateKey"])
    return cert, key
