"""HTTP server of the metrics on the loopback interface, in a thread of its own; off unless a port is set."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from edge_components.forwarder.prometheus import CONTENT_TYPE

ADDRESS = "127.0.0.1"
PATH = "/metrics"
TIMEOUT_S = 10


class MetricsServer:
    """Server of one text, which is replaced as a whole; it listens while a port is set."""

    def __init__(self) -> None:
        self.text = b""
        self._server: _Server | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """Port that it listens on, 0 if it does not listen."""
        return 0 if self._server is None else int(self._server.server_address[1])

    def listen(self, port: int) -> None:
        """Listen on a port of the loopback interface, 0 to stop; raises OSError for a port that cannot be used."""
        if port == self._port:
            return
        self.close()
        if port:
            self._server = _Server(self, port)
            self._port = port
            threading.Thread(target=self._server.serve_forever, args=(0.5,), name="metrics", daemon=True).start()

    def close(self) -> None:
        """Stop listening; safe to call again."""
        server, self._server, self._port = self._server, None, 0
        if server is not None:
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, metrics: MetricsServer, port: int) -> None:
        self.metrics = metrics
        super().__init__((ADDRESS, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = TIMEOUT_S

    def do_GET(self) -> None:
        """Answer with the metrics."""
        found = self.path.split("?")[0] == PATH
        body = self.server.metrics.text if found else b"the metrics are at /metrics\n"
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: requests come every few seconds."""
