"""Encryption and identity of an OPC UA connection: certificates of the client and of its user, through asyncua."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Security:
    """The keys of an entry that concern the connection's security; see edge_components.sensor_reader.sources.opcua."""

    username: str
    password_file: str
    policy: str
    mode: str
    cert_file: str
    key_file: str
    server_cert_file: str
    user_cert_file: str
    user_key_file: str


async def secure(asyncua: Any, client: Any, settings: Security) -> None:
    """Give a client its user and its certificates; raises OSError, ValueError or an error of asyncua."""
    from asyncua.crypto import security_policies, uacrypto

    if settings.username:
        client.set_user(settings.username)
        if settings.password_file:
            client.set_password(Path(settings.password_file).read_text().strip())
    if settings.policy != "none":
        certificate = _content(settings.cert_file)
        client.application_uri = await _application_uri(uacrypto, certificate) or client.application_uri
        await client.set_security(
            getattr(security_policies, f"SecurityPolicy{settings.policy}"),
            uacrypto.CertProperties(*certificate),
            uacrypto.CertProperties(*_content(settings.key_file)),
            server_certificate=uacrypto.CertProperties(*_content(settings.server_cert_file))
            if settings.server_cert_file
            else None,
            mode=getattr(asyncua.ua.MessageSecurityMode, settings.mode),
        )
    if settings.user_cert_file:
        content, extension = _content(settings.user_cert_file)
        client.user_certificate = await uacrypto.load_certificate(content, extension)
        content, extension = _content(settings.user_key_file)
        client.user_private_key = await uacrypto.load_private_key(content, None, extension)


def _content(path: str) -> tuple[bytes, str]:
    """Return the content of a file and its encoding, which asyncua would take from the file's name."""
    content = Path(path).read_bytes()
    return content, "pem" if b"-----BEGIN" in content else "der"


async def _application_uri(uacrypto: Any, certificate: tuple[bytes, str]) -> str:
    """Return the application URI in the client's certificate, which servers compare with that of the connection."""
    from cryptography import x509

    loaded = await uacrypto.load_certificate(*certificate)
    try:
        names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    return next(iter(names.get_values_for_type(x509.UniformResourceIdentifier)), "")
