"""Readings from an OPC UA server: subscriptions with source timestamps and status codes, through asyncua."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_components.common.config import integer, load, mapping, text
from edge_components.common.errors import ConfigError
from edge_components.sensor_reader.errors import SourceError
from edge_components.sensor_reader.mapping.values import quality
from edge_components.sensor_reader.source_thread import Outlet, Sample, ThreadSource
from edge_components.sensor_reader.sources import Context, Kind

CHECK_SECONDS = 5.0
CONNECT_SECONDS = 10.0
_NODES = 'a list of objects {"node": an OPC UA node id, "name": ..., "unit": ...}'


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """One variable of the server."""

    node: str = text("", "node id of the variable, such as `ns=2;s=Pump.Flow`", pattern=r"[^\x00-\x1f]{1,512}")
    name: str = text("", "name of the series behind the entry's prefix; empty is the identifier in the node id")
    unit: str = text("", "unit of the value", pattern=r"[^\x00-\x1f]{0,16}", allowed="text of at most 16 characters")

    @property
    def series(self) -> str:
        """The name of the series behind the prefix."""
        return self.name or self.node.rpartition(";")[2].partition("=")[2] or self.node


def _nodes(value: Any) -> tuple[NodeSettings, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(one, Mapping) for one in value):
        raise ValueError(_NODES)
    problems: list[str] = []
    nodes: list[NodeSettings] = []
    for index, one in enumerate(value):
        try:
            node = load(NodeSettings, one)
        except ConfigError as error:
            problems += (f"nodes[{index}].{problem}" for problem in error.problems)
            continue
        if not node.node:
            problems.append(f"nodes[{index}].node: '' is not allowed, expected a node id")
        elif any(node.series == other.series for other in nodes):
            problems.append(f"nodes[{index}].name: {node.series!r} is not allowed, expected each name once")
        nodes.append(node)
    if problems:
        raise ConfigError(problems)
    return tuple(nodes)


def _file(doc: str) -> Any:
    return text("", doc, pattern=r"(/[^\x00-\x1f]{0,1023})?", allowed="an absolute path, or empty")


@dataclass(frozen=True, slots=True)
class OpcuaSettings:
    """One server and the variables to read."""

    url: str = text(
        "", "address of the server", pattern=r"opc\.tcp://[^\s]{1,500}", allowed="an address opc.tcp://host:port/path"
    )
    nodes: tuple[NodeSettings, ...] = mapping([], _nodes, _NODES, "the variables to read")
    prefix: str = text("", "first part of the names of the series; empty is the entry's name")
    sampling_ms: int = integer(1_000, 10, 86_400_000, "sampling interval of the server")
    publishing_ms: int = integer(1_000, 10, 86_400_000, "interval at which the server sends changes")
    queue_size: int = integer(
        100, 1, 100_000, "changes that the server keeps for each variable between two notifications"
    )
    username: str = text("", "user at the server; empty is anonymous", pattern=r"[^\x00-\x1f]{0,128}")
    password_file: str = _file("file whose content is the user's password")
    security_policy: str = text(
        "none",
        "encryption and signature of the connection",
        choices=("none", "Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"),
    )
    security_mode: str = text("SignAndEncrypt", "what the policy is used for", choices=("Sign", "SignAndEncrypt"))
    cert_file: str = _file("the client's certificate, for a security policy")
    key_file: str = _file("the key of the client's certificate")
    server_cert_file: str = _file("the server's certificate; without it the one that the server sends is accepted")

    def __post_init__(self) -> None:
        problems = []
        if not self.url:
            problems.append("url: '' is not allowed, expected an address opc.tcp://host:port/path")
        if not self.nodes:
            problems.append("nodes: [] is not allowed, expected one variable or more")
        if self.security_policy != "none" and not (self.cert_file and self.key_file):
            problems.append("security_policy: only with cert_file and key_file")
        if self.password_file and not self.username:
            problems.append("password_file: only with username")
        if problems:
            raise ConfigError(problems)


class OpcuaWorker:
    """One subscription; see edge_components.sensor_reader.source_thread.Worker."""

    def __init__(self, settings: OpcuaSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._prefix = settings.prefix or context.name

    def work(self, outlet: Outlet) -> None:
        """Subscribe and pass changes until stopped; raises SourceError if the connection is lost."""
        try:
            import asyncua
        except ImportError as error:
            raise SourceError(f"the package asyncua is not installed ({error})") from error
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # its failures are logged here, at a limited rate
        try:
            asyncio.run(self._live(asyncua, outlet))
        except (OSError, TimeoutError, asyncua.ua.uaerrors.UaError, ConnectionError, ValueError) as error:
            raise SourceError(f"{self._settings.url}: {type(error).__name__}: {error}") from error

    async def _live(self, asyncua: Any, outlet: Outlet) -> None:
        settings = self._settings
        client = asyncua.Client(settings.url, timeout=CONNECT_SECONDS)
        await self._secure(client)
        async with client:
            handler = _Handler(self._prefix, settings.nodes, outlet)
            subscription = await client.create_subscription(settings.publishing_ms, handler)
            for node in settings.nodes:
                handler.by_id[client.get_node(node.node).nodeid] = node
            outlet.works()
            for node in settings.nodes:
                try:
                    await subscription.subscribe_data_change(
                        client.get_node(node.node),
                        queuesize=settings.queue_size,
                        sampling_interval=settings.sampling_ms,
                    )
                except asyncua.ua.uaerrors.UaError as error:
                    outlet.reject("opcua_subscription_refused", f"{node.node}: {error}", key=node.node)
            await self._stay(client, outlet)

    @staticmethod
    async def _stay(client: Any, outlet: Outlet) -> None:
        """Return when stopped; raises the error of a failed connection."""
        elapsed = 0.0
        while not outlet.stopping:
            await asyncio.sleep(0.1)
            elapsed += 0.1
            if elapsed >= CHECK_SECONDS:
                elapsed = 0.0
                await client.check_connection()
                outlet.works()

    async def _secure(self, client: Any) -> None:
        settings = self._settings
        if settings.username:
            client.set_user(settings.username)
            if settings.password_file:
                client.set_password(Path(settings.password_file).read_text().strip())  # a small file
        if settings.security_policy != "none":
            server = f",{settings.server_cert_file}" if settings.server_cert_file else ""
            await client.set_security_string(
                f"{settings.security_policy},{settings.security_mode},{settings.cert_file},{settings.key_file}{server}"
            )


class _Handler:
    """Receives changes on the connection's thread."""

    def __init__(self, prefix: str, nodes: tuple[NodeSettings, ...], outlet: Outlet) -> None:
        self._prefix, self._outlet = prefix, outlet
        self.by_id: dict[Any, NodeSettings] = {}

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        """Pass on one change with its time and status."""
        settings = self.by_id.get(node.nodeid)
        if settings is None:
            return
        name = f"{self._prefix}.{settings.series}"
        change = data.monitored_item.Value
        status = change.StatusCode.value if change.StatusCode is not None else 0
        if value is None and status:
            self._outlet.reject("opcua_bad_status", f"{settings.node}: {change.StatusCode.name}", key=settings.node)
            return
        moment = change.SourceTimestamp or change.ServerTimestamp
        time = None if moment is None else f"{moment.replace(tzinfo=None).isoformat()}+00:00"
        level = quality(status) if status else 0
        self._outlet.put([Sample(name, value, time, level, settings.unit)])

    def status_change_notification(self, status: Any) -> None:
        """Log that the server changed the state of the subscription."""
        self._outlet.reject("opcua_subscription_changed", str(status))


def open_opcua(settings: OpcuaSettings, context: Context) -> ThreadSource:
    """Return the source of one server."""
    return ThreadSource(context, lambda: OpcuaWorker(settings, context))


KIND = Kind(OpcuaSettings, open_opcua)
