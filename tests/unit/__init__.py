"""Unit tests: without further processes and server sockets."""
