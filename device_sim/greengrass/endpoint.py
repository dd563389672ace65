"""MQTT endpoint of IoT Core and the gateway's certificate."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from device_sim.greengrass.errors import StartError


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Address of IoT Core, and the PEM files for mutual authentication."""

    host: str
    port: int
    certificate: Path
    key: Path
    authority: Path

    def context(self) -> ssl.SSLContext:
        """Return the TLS context for mutual authentication; raises StartError naming the unusable file."""
        try:
            context = ssl.create_default_context(cafile=self.authority)
        except (OSError, ssl.SSLError) as error:
            raise StartError(f"--ca {self.authority}: {error}") from error
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise StartError(f"--cert {self.certificate} with --key {self.key}: {error}") from error
        return context
