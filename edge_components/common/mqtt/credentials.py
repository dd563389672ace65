"""Certificate and key files of broker and client, which are read for each connection."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from edge_components.common.errors import CredentialsError

Stamps = tuple[tuple[int, int, int] | None, ...]
"""Modification time, size and inode of each file, None for one that is missing."""


def credential_problems(*, tls: bool, cert_file: str, key_file: str, username: str, password_file: str) -> list[str]:
    """Return a sentence for each key of a broker's settings that is missing or does not fit the others."""
    problems = []
    if bool(cert_file) != bool(key_file):
        problems.append("cert_file, key_file: both or neither")
    if cert_file and not tls:
        problems.append("cert_file: only with tls true")
    if password_file and not username:
        problems.append("password_file: only with username")
    return problems


@dataclass(frozen=True, slots=True)
class CredentialFiles:
    """The paths, each empty where it is not used."""

    tls: bool
    ca_file: str
    cert_file: str
    key_file: str
    password_file: str

    @property
    def paths(self) -> tuple[str, ...]:
        """The files in use."""
        return tuple(filter(None, (self.password_file, self.ca_file, self.cert_file, self.key_file)))

    def stamps(self) -> Stamps:
        """Return a value that changes when a file is replaced."""
        return tuple(_stamp(path) for path in self.paths)

    def load(self) -> Credentials:
        """Read the files; raises CredentialsError that names them when they cannot be used."""
        stamps = self.stamps()
        try:
            password = Path(self.password_file).read_text().strip() if self.password_file else None
            return Credentials(password, self._context() if self.tls else None, stamps)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            files = ", ".join(self.paths) or "the system's certificates"
            raise CredentialsError(f"mqtt: cannot use {files}: {error}") from error

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca_file or None)
        if self.cert_file:
            # Without a password OpenSSL would prompt for that of an encrypted key on the terminal.
            context.load_cert_chain(self.cert_file, self.key_file or None, password="")
        return context


@dataclass(frozen=True, slots=True)
class Credentials:
    """The content of the files, and the stamps they had."""

    password: str | None
    context: ssl.SSLContext | None
    stamps: Stamps


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
