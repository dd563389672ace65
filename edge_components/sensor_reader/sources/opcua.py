"""Readings from an OPC UA server: subscriptions with source timestamps and status codes, through asyncua."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from edge_components.common.config import absolute_path, integer, load, mapping, objects, read_list, text
from edge_components.common.errors import ConfigError
from edge_components.sensor_reader.errors import MissingPackageError, SourceError
from edge_components.sensor_reader.opcua_security import Security, secure
from edge_components.sensor_reader.source_thread import Outlet, Sample, ThreadSource
from edge_components.sensor_reader.sources import Context, Kind, Level
from wire.model import Quality

CHECK_SECONDS = 5.0
REFUSED_SECONDS = 60.0
"""Seconds after which refused variables are subscribed again."""

STOP_SECONDS = 0.25
NODES_A_REQUEST = 100
CONNECT_SECONDS = 10.0
_NODES = 'a list of objects {"node": an OPC UA node id, "name": ..., "unit": ...}'


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """One variable of the server."""

    node: str = text("", "node id of the variable, such as `ns=2;s=Pump.Flow`", pattern=r"[^\x00-\x1f]{1,512}")
    name: str = text("", "name of the series behind the entry's prefix; empty is the identifier in the node id")
    unit: str = text("", "unit of the value", pattern=r"[^\x00-\x1f]{0,16}", allowed="text of at most 16 characters")

    def __post_init__(self) -> None:
        if not self.node:
            raise ConfigError(["node: '' is not allowed, expected a node id"])

    @property
    def series(self) -> str:
        """The name of the series behind the prefix."""
        return self.name or self.node.rpartition(";")[2].partition("=")[2] or self.node


def _nodes(value: Any) -> tuple[NodeSettings, ...]:
    return read_list("nodes", objects(value, _NODES), lambda one: load(NodeSettings, one), lambda node: node.series)


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
    password_file: str = absolute_path("file whose content is the user's password")
    security_policy: str = text(
        "none",
        "encryption and signature of the connection",
        choices=("none", "Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"),
    )
    security_mode: str = text("SignAndEncrypt", "what the policy is used for", choices=("Sign", "SignAndEncrypt"))
    cert_file: str = absolute_path("the client's certificate, for a security policy")
    key_file: str = absolute_path("the key of the client's certificate")
    server_cert_file: str = absolute_path(
        "the server's certificate; without it the one that the server sends is accepted"
    )
    user_cert_file: str = absolute_path("the user's certificate, in place of a name and password")
    user_key_file: str = absolute_path("the key of the user's certificate")

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
        if bool(self.user_cert_file) != bool(self.user_key_file):
            problems.append("user_cert_file, user_key_file: both or neither")
        if self.user_cert_file and self.username:
            problems.append("user_cert_file: only without username")
        if problems:
            raise ConfigError(problems)

    @property
    def security(self) -> Security:
        """The keys that concern the connection's security."""
        return Security(
            self.username,
            self.password_file,
            self.security_policy,
            self.security_mode,
            self.cert_file,
            self.key_file,
            self.server_cert_file,
            self.user_cert_file,
            self.user_key_file,
        )


class OpcuaWorker:
    """One subscription; see edge_components.sensor_reader.source_thread.Worker."""

    def __init__(self, settings: OpcuaSettings, context: Context) -> None:
        self._settings = settings
        self._prefix = settings.prefix or context.name
        self._last: dict[str, float] = {}

    def work(self, outlet: Outlet) -> None:
        """Subscribe and pass changes until stopped; raises SourceError if the connection is lost."""
        try:
            import asyncua
        except ImportError as error:
            raise MissingPackageError("asyncua", "opcua", error) from error
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # its failures are logged here, at a limited rate
        try:
            asyncio.run(self._live(asyncua, outlet))
        except (OSError, TimeoutError, asyncua.ua.uaerrors.UaError, ConnectionError, ValueError) as error:
            raise SourceError(f"{self._settings.url}: {type(error).__name__}: {error}") from error

    async def _live(self, asyncua: Any, outlet: Outlet) -> None:
        settings = self._settings
        client = asyncua.Client(settings.url, timeout=CONNECT_SECONDS)
        await secure(asyncua, client, settings.security)
        async with client:
            handler = _Handler(self._prefix, self._last, outlet)
            subscription = await client.create_subscription(settings.publishing_ms, handler)
            outlet.works()
            waiting, retry_s = list(settings.nodes), 0.0
            while not outlet.stopping and not handler.ended:
                if waiting and retry_s <= 0:
                    waiting = await self._subscribe(asyncua, client, subscription, waiting, handler, outlet)
                    retry_s = REFUSED_SECONDS
                await _pause(outlet, handler)
                retry_s -= CHECK_SECONDS
                if not outlet.stopping:
                    await client.check_connection()
                    outlet.works()
            if handler.ended:
                raise SourceError(f"{settings.url}: the server ended the subscription: {handler.ended}")

    async def _subscribe(
        self,
        asyncua: Any,
        client: Any,
        subscription: Any,
        nodes: list[NodeSettings],
        handler: _Handler,
        outlet: Outlet,
    ) -> list[NodeSettings]:
        """Subscribe to variables, and return those that the server refuses."""
        refused: list[NodeSettings] = []
        found: list[tuple[NodeSettings, Any]] = []
        for settings in nodes:
            try:
                found.append((settings, client.get_node(settings.node)))
            except (asyncua.ua.uaerrors.UaError, ValueError) as error:
                outlet.reject("opcua_subscription_rejected", f"{settings.node}: {error}", key=settings.node)
                refused.append(settings)
        for at in range(0, len(found), NODES_A_REQUEST):
            part = found[at : at + NODES_A_REQUEST]
            handler.by_id.update({node.nodeid: settings for settings, node in part})
            results = await subscription.subscribe_data_change(
                [node for _settings, node in part],
                queuesize=self._settings.queue_size,
                sampling_interval=self._settings.sampling_ms,
            )
            for (settings, _node), result in zip(part, results, strict=True):
                if isinstance(result, asyncua.ua.StatusCode):
                    text = f"{settings.node}: {result.name}; tried again"
                    outlet.reject("opcua_subscription_rejected", text, key=settings.node)
                    refused.append(settings)
        return refused


async def _pause(outlet: Outlet, handler: _Handler) -> None:
    """Wait for CHECK_SECONDS, or until there is something to do."""
    left = CHECK_SECONDS
    while left > 0 and not outlet.stopping and not handler.ended:
        await asyncio.sleep(min(left, STOP_SECONDS))
        left -= STOP_SECONDS


class _Handler:
    """Receives changes on the connection's thread. ``last`` has the last value of each series."""

    def __init__(self, prefix: str, last: dict[str, float], outlet: Outlet) -> None:
        self._prefix, self._last, self._outlet = prefix, last, outlet
        self.by_id: dict[Any, NodeSettings] = {}
        self.ended = ""
        """Why the server ended the subscription, empty while it has not."""

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        """Pass on one change with its time and status; a bad status without a value gives the last value, as bad."""
        settings = self.by_id.get(node.nodeid)
        if settings is None:
            return
        name = f"{self._prefix}.{settings.series}"
        change = data.monitored_item.Value
        status = change.StatusCode.value if change.StatusCode is not None else 0
        level = _quality(status)
        if level == Quality.BAD:
            self._outlet.reject("opcua_bad_status", f"{settings.node}: {change.StatusCode.name}", key=settings.node)
        if value is None and status:
            value = self._last.get(name)
            if value is None:
                return
        elif isinstance(value, int | float):
            self._last[name] = value
        moment = change.SourceTimestamp or change.ServerTimestamp
        time = None if moment is None else f"{moment.replace(tzinfo=None).isoformat()}+00:00"
        self._outlet.put([Sample(name, value, time, level, settings.unit)])

    def status_change_notification(self, notification: Any) -> None:
        """End the subscription where its new status is bad: the server has dropped it."""
        status = notification.Status
        self._outlet.reject("opcua_subscription_changed", str(status))
        if _quality(status.value) == Quality.BAD:
            self.ended = status.name


def _quality(status: int) -> Quality:
    """Return the severity of a status code, which its upper two bits have."""
    return (Quality.GOOD, Quality.UNCERTAIN, Quality.BAD, Quality.BAD)[status >> 30 & 3]


def open_opcua(settings: OpcuaSettings, context: Context) -> ThreadSource:
    """Return the source of one server."""
    worker = OpcuaWorker(settings, context)
    return ThreadSource(context, lambda: worker)


KIND = Kind(OpcuaSettings, open_opcua, level=Level.GOLD)
