"""The MQTT library's client, with sockets that are closed and failures that are named when a connection fails."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import paho.mqtt.client as paho

from edge_components.common.mqtt.failures import HandshakeError, HandshakeTimeoutError, WebSocketError

CONNECT_SECONDS = 8.0


class PahoClient(paho.Client):
    """Client of one connection; the caller drives its network loop."""

    def __init__(self, tls: ssl.SSLContext | None, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._tls = tls
        if tls is not None:
            self.tls_set_context(tls)
        self.connect_timeout = CONNECT_SECONDS
        # With this callback the library does not write to the socket from the thread that publishes.
        self.on_socket_register_write = lambda *_: None
        self._connecting: socket.socket | None = None
        self.socket_error: OSError | None = None
        """Error of the socket that ended the connection."""

    def limit_in_flight(self, most: int) -> None:
        """Limit the publications sent and not confirmed, also of an open connection; the library queues more."""
        self._max_inflight_messages = most

    def abandon(self) -> None:
        """Close the socket."""
        self._sock_close()

    def _sock_recv(self, bufsize: int) -> bytes:
        try:
            return super()._sock_recv(bufsize)
        except BlockingIOError:
            raise
        except OSError as error:
            self.socket_error = error
            raise

    def _sock_send(self, buf: bytes | bytearray) -> int:
        try:
            return super()._sock_send(buf)
        except BlockingIOError:
            raise
        except OSError as error:
            self.socket_error = error
            raise

    def _websocket(self, library: Any, _sock: socket.socket) -> Any:
        """Return the stream of a WebSocket: by default that of the library, made of ``sock``."""
        return library

    def _create_socket(self) -> Any:
        """Connect; unlike the library, close the socket when that fails, and name a failed WebSocket handshake."""
        try:
            made = super()._create_socket()
            return (
                made if self._connecting is None or self.transport == "tcp" else self._websocket(made, self._connecting)
            )
        except BaseException as error:
            if self._connecting is not None:
                self._connecting.close()
            if isinstance(error, paho.WebsocketConnectionError | IndexError | UnicodeDecodeError):
                raise WebSocketError(str(error)) from error
            raise
        finally:
            self._connecting = None

    def _create_socket_connection(self) -> socket.socket:
        self._connecting = super()._create_socket_connection()
        return self._connecting

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        """Perform the TLS handshake; unlike the library, close the socket on failure and report the cause."""
        sock = (self._tls or ssl.create_default_context()).wrap_socket(
            tcp_sock, server_hostname=self.host, do_handshake_on_connect=False
        )
        self._connecting = sock
        try:
            sock.settimeout(CONNECT_SECONDS)
            sock.do_handshake()
        except TimeoutError as error:
            raise HandshakeTimeoutError(CONNECT_SECONDS) from error
        except (ConnectionError, ssl.SSLEOFError) as error:
            raise HandshakeError(error.strerror or str(error)) from error
        return sock


def reason_text(code: Any, properties: Any) -> str:
    """Return the name of a reason code, with the text that an MQTT 5 broker adds."""
    text = getattr(properties, "ReasonString", "")
    return f"{code}: {text[:200]}" if text else str(code)
