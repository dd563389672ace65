"""Classification of failed connections to a broker. Pure."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass

_VERIFICATION = {
    10: "it has expired",
    9: "it is not valid yet (or this gateway's clock is wrong)",
    18: "it is self-signed and not among the trusted certificates",
    19: "it is signed by an authority that is not trusted",
    20: "it is signed by an authority that is not trusted",
    21: "the certificate that signed it is missing",
    62: "it is for another host name",
    64: "it is for another address",
}
"""By OpenSSL's code of the verification error (X509_V_ERR_*)."""

_REASONS = {
    "WRONG_VERSION_NUMBER": "the broker does not speak TLS on this port",
    "HTTP_REQUEST": "the broker does not speak TLS on this port",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the broker requires a client certificate (cert_file)",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the broker refuses the handshake; it may require a client certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the broker refuses the client certificate: it has expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "the broker refuses the client certificate: it is revoked",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the broker refuses the client certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the broker refuses the client certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "the broker does not trust the authority that signed the client certificate",
}


class HandshakeError(OSError):
    """The connection ended during the TLS handshake, without a reason from the other side."""


class HandshakeTimeoutError(TimeoutError):
    """The other side did not complete the TLS handshake in ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the TLS handshake was not completed within {seconds:g} s: the broker is slow, or does not speak TLS on "
            "this port"
        )


class WebSocketError(ConnectionError):
    """The peer does not answer with a WebSocket."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why a connection failed: the counter, and a sentence with the cause."""

    counter: str
    text: str


def connection_failure(error: Exception) -> Failure:
    """Return the failure for an exception raised by connecting or by the first use of the connection."""
    if isinstance(error, ssl.SSLCertVerificationError):
        cause = _VERIFICATION.get(error.verify_code, error.verify_message)
        return Failure("mqtt_tls_failed", f"the broker's certificate is not accepted: {cause}")
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", None) or str(error)
        return Failure("mqtt_tls_failed", f"TLS failed: {_REASONS.get(reason, reason)}")
    if isinstance(error, HandshakeError):
        cause = f"the connection ended during the handshake ({error}); does it speak TLS on this port?"
        return Failure("mqtt_tls_failed", f"TLS failed: {cause}")
    if isinstance(error, WebSocketError):
        cause = f"no WebSocket ({error}); does the broker have one on this port and path?"
        return Failure("mqtt_websocket_failed", cause)
    if isinstance(error, socket.gaierror):
        return Failure("mqtt_dns_failed", f"the host name cannot be resolved: {error.strerror}")
    if isinstance(error, TimeoutError):
        return Failure("mqtt_timeout", str(error) if isinstance(error, HandshakeTimeoutError) else "no answer in time")
    if isinstance(error, ConnectionRefusedError):
        return Failure("mqtt_unreachable", "nothing listens on this port (connection refused)")
    if not isinstance(error, OSError):
        return Failure("mqtt_errors", f"the broker breaks the protocol: {error}")
    if isinstance(error, ConnectionError):
        return Failure("mqtt_unreachable", f"the connection was closed: {error}")
    return Failure("mqtt_unreachable", str(error) or type(error).__name__)


def unanswered_failure(error: Exception | None, tls: bool, has_certificate: bool) -> Failure:
    """Return the failure for a connection that ended before the broker answered the request for a session.

    In TLS 1.3 the broker rejects a missing client certificate after the client has finished the handshake (RFC 8446,
    section 4.4.2.4), and its reason is lost when it resets the connection.
    """
    if tls and not has_certificate and (error is None or isinstance(error, ConnectionError)):
        text = "the broker closed the connection after the handshake; it may require a client certificate (cert_file)"
        return Failure("mqtt_tls_failed", f"TLS failed: {text}")
    return connection_failure(error or ConnectionResetError("the broker closed it"))
