"""A proxy before a broker that holds back publications beyond an in-flight window, as MQTT requires of brokers.

mosquitto 2.0.11 (Debian 12) releases a whole window for each acknowledgement when messages are queued, so its window
of 20 grows to hundreds under load; later versions and other brokers keep to theirs. Runs as a process of its own,
``python -m benchmarks.edge_window --port BROKER --window 20``, and prints the port that it listens on.
"""

from __future__ import annotations

import argparse
import selectors
import socket
import sys
from collections import deque

from device_sim.chaos.packets import Framer, Kind

RECEIVE_BYTES = 1 << 16
QOS_BITS = 6


class Window:
    """In-flight window of the proxy: it passes at most ``size`` publications of QoS 1 unacknowledged. Pure."""

    def __init__(self, size: int) -> None:
        self._size, self._open = size, 0
        self._from_broker, self._from_client = Framer(), Framer()
        self._held: deque[bytes] = deque()

    def from_broker(self, data: bytes) -> bytes:
        """Take bytes of the broker and return those that may pass."""
        passed = []
        for packet in self._from_broker.feed(data):
            if packet.kind is Kind.PUBLISH and packet.flags & QOS_BITS:
                self._held.append(packet.raw)
            else:
                passed.append(packet.raw)
        return b"".join(passed) + self._release()

    def from_client(self, data: bytes) -> bytes:
        """Note the acknowledgements in bytes of the subscriber, and return what may pass to it now."""
        self._open -= sum(packet.kind is Kind.PUBACK for packet in self._from_client.feed(data))
        return self._release()

    def _release(self) -> bytes:
        passed = []
        while self._held and self._open < self._size:
            passed.append(self._held.popleft())
            self._open += 1
        return b"".join(passed)


def main() -> int:
    """Serve one connection after the other until the process is ended."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edge_window", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="the broker's port on 127.0.0.1")
    parser.add_argument("--window", type=int, required=True)
    given = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            client, _address = listener.accept()
            with client, socket.create_connection(("127.0.0.1", given.port)) as broker:
                for one in (client, broker):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _relay(client, broker, Window(given.window))


def _relay(client: socket.socket, broker: socket.socket, window: Window) -> None:
    """Forward bytes until either side closes."""
    with selectors.DefaultSelector() as ready:
        for one in (client, broker):
            ready.register(one, selectors.EVENT_READ)
        while True:
            for key, _events in ready.select():
                source = key.fileobj
                try:
                    data = source.recv(RECEIVE_BYTES)  # type: ignore[union-attr]
                    if not data:
                        return
                    if source is broker:
                        client.sendall(window.from_broker(data))
                    else:
                        broker.sendall(data)
                        client.sendall(window.from_client(data))
                except ConnectionError:
                    return


if __name__ == "__main__":
    sys.exit(main())
