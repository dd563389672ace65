"""Real peers for the kinds of sources: Modbus devices, a serial line, an HTTP server, an OPC UA server."""

from __future__ import annotations

import asyncio
import datetime
import http.server
import importlib
import os
import pty
import socket
import struct
import threading
import tty
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from asyncua.crypto.permission_rules import User, UserRole
from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

asyncua: Any = importlib.import_module("asyncua")  # its types are incomplete
HOLDING = [0, 0, *struct.unpack(">HH", struct.pack(">f", 21.5)), 65_535, 7]


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Background:
    """An event loop on a thread of its own, for servers."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine there and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def close(self) -> None:
        """End the loop and its thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


def modbus_device() -> Any:
    """Return a device with registers of each table."""
    from pymodbus.simulator import DataType, SimData, SimDevice

    holding = [SimData(0, values=HOLDING, datatype=DataType.REGISTERS)]
    bits = [SimData(0, values=[True, False] * 8, datatype=DataType.BITS)]
    inputs = [SimData(0, values=[1, 2, 3], datatype=DataType.REGISTERS)]
    return SimDevice(1, simdata=(bits, bits, holding, inputs))


@contextmanager
def serving(background: Background, make: Callable[[], Any]) -> Iterator[None]:
    """Run a server of pymodbus."""

    async def begin() -> Any:
        server = make()
        await server.serve_forever(background=True)
        return server

    server = background.run(begin())
    try:
        yield
    finally:
        background.run(server.shutdown())


class Line:
    """A serial line: two pseudo-terminals whose bytes are passed on to each other."""

    def __init__(self) -> None:
        self._ends = [pty.openpty(), pty.openpty()]
        for master, slave in self._ends:
            tty.setraw(master)
            tty.setraw(slave)
        self.first, self.second = (os.ttyname(slave) for _master, slave in self._ends)
        self._threads = [
            threading.Thread(target=self._pass, args=(self._ends[at][0], self._ends[1 - at][0]), daemon=True)
            for at in (0, 1)
        ]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _pass(source: int, target: int) -> None:
        try:
            while data := os.read(source, 4096):
                os.write(target, data)
        except OSError:
            return

    def close(self) -> None:
        """Close both ends, which ends the threads."""
        for _master, slave in self._ends:
            os.close(slave)
        for thread in self._threads:
            thread.join(2)
        for master, _slave in self._ends:
            os.close(master)


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers each path with what the test put there."""

    content: ClassVar[dict[str, tuple[int, bytes]]] = {}

    def do_GET(self) -> None:  # the name that the library calls
        status, body = self.content.get(self.path, (404, b""))
        if self.headers.get("Authorization") not in (None, "Basic Z3c6c2VjcmV0"):
            status = 401
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key as files in PEM, whose names do not show that."""

    cert: Path
    key: Path

    @property
    def der(self) -> bytes:
        """The certificate in DER."""
        loaded = x509.load_pem_x509_certificate(self.cert.read_bytes())
        return loaded.public_bytes(serialization.Encoding.DER)


def make_identity(folder: Path, name: str) -> Identity:
    """Write a self-signed certificate as OPC UA requires it, with the application URI ``urn:test:<name>``."""
    key = rsa.generate_private_key(65_537, 2_048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    usage = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_cert_sign"), True
    )
    unused = dict.fromkeys(("key_agreement", "crl_sign", "encipher_only", "decipher_only"), False)
    names = [x509.UniformResourceIdentifier(f"urn:test:{name}"), x509.DNSName("localhost")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.KeyUsage(**usage, **unused), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    identity = Identity(folder / f"{name}.crt", folder / f"{name}.key")
    identity.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    identity.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return identity


@dataclass(slots=True)
class Users:
    """The users of an OPC UA server: anonymous ones, one with a password, those with a certificate (DER)."""

    anonymous: bool = True
    certificates: list[bytes] = field(default_factory=list)

    def get_user(
        self, iserver: Any, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> User | None:
        """Return the user, None to refuse it."""
        if username is not None:
            allowed = (username, password) == ("gw", "secret")
        else:
            allowed = self.anonymous or certificate in self.certificates
        return User(role=UserRole.User) if allowed else None


class OpcuaServer:
    """A server with a few variables; making its address space takes seconds, so there is one."""

    def __init__(self, background: Background, certificate: Identity | None = None) -> None:
        self._background, self._certificate = background, certificate
        self.users = Users()
        self.url = f"opc.tcp://127.0.0.1:{free_port()}/test"
        self.variables: dict[str, Any] = {}
        self._server = background.run(self._make())

    async def _make(self) -> Any:
        server = asyncua.Server(user_manager=self.users)
        await server.init()
        server.set_endpoint(self.url)
        if self._certificate is not None:
            await server.load_certificate(str(self._certificate.cert), "pem")
            await server.load_private_key(str(self._certificate.key), None, "pem")
            names = ("Basic256Sha256_SignAndEncrypt", "Basic256Sha256_Sign", "Aes128Sha256RsaOaep_SignAndEncrypt")
            modes = ("NoSecurity", *names, "Aes256Sha256RsaPss_SignAndEncrypt")
            server.set_security_policy([getattr(asyncua.ua.SecurityPolicyType, mode) for mode in modes])
            options = CertificateValidatorOptions.EXT_VALIDATION | CertificateValidatorOptions.PEER_CLIENT
            server.set_certificate_validator(CertificateValidator(options).validate)
        space = await server.register_namespace("urn:test")
        folder = await server.nodes.objects.add_object(space, "Room")
        for name, value in (("Temp", 4.5), ("Door", False), ("Text", "x")):
            node = asyncua.ua.NodeId(f"Room.{name}", space)
            self.variables[name] = await folder.add_variable(node, name, value)
        await server.start()
        return server

    def add(self, node: str, value: float) -> None:
        """Add a variable with this node id, and its namespace."""
        self._background.run(self._add(asyncua.ua.NodeId.from_string(node), value))

    async def _add(self, node: Any, value: float) -> None:
        while len(await self._server.get_namespace_array()) <= node.NamespaceIndex:
            await self._server.register_namespace(f"urn:test-{node.NamespaceIndex}")
        await self._server.nodes.objects.add_variable(node, node.to_string(), value)

    def write(self, name: str, value: float | None, status: int) -> None:
        """Write a value, or none, with a status."""
        variant = asyncua.ua.Variant(value, asyncua.ua.VariantType.Double if value is not None else None)
        data = asyncua.ua.DataValue(variant, asyncua.ua.StatusCode(status))
        self._background.run(self.variables[name].write_value(data))

    def listen(self, *, on: bool) -> None:
        """Accept connections, or end all of them."""
        endpoint = self._server.bserver
        self._background.run(endpoint.start() if on else endpoint.stop())

    def close(self) -> None:
        """End the server."""
        self._background.run(self._server.stop())
