"""Ports between the link on the component's loop and the session on its own thread."""

from __future__ import annotations

from typing import Protocol

from edge_components.common.mqtt.failures import Failure


class SessionEvents(Protocol):
    """Receiver of the events of a session; each method is called on the loop."""

    def connected(self, protocol: str) -> None:
        """Handle a new connection, after the broker's first answer to the subscription."""

    def failed(self, failure: Failure) -> None:
        """Handle a failed attempt to connect, or the loss of the connection."""

    def subscribed(self, topic: str, rejection: str) -> None:
        """Handle the broker's answer to a subscription, empty if it is granted; a rejected one is retried."""

    def publication_rejected(self, reason: str) -> None:
        """Handle a publication that the broker rejected."""

    def credentials_renewed(self, counter: str, reason: str) -> None:
        """Handle the end of a connection because there are newer credentials."""

    def received(self, topic: str, payload: bytes) -> None:
        """Handle a message."""


class Session(Protocol):
    """Port of the connection, which is retried until closed; no method waits for the network but ``close``."""

    def start(self) -> None:
        """Begin to connect."""

    def publish(self, topic: str, payload: bytes) -> bool:
        """Queue a publication; return False if too many are unconfirmed. Raises ConnectionLostError."""

    def reconnect(self) -> None:
        """End the connection, which is established again."""

    def close(self) -> None:
        """Disconnect and wait for the end of the thread."""
