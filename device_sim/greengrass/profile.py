"""Differences between the two AWS Greengrass nuclei that a component can observe.

Sources: measurements on nucleus lite 2.6.0 and its source code; source code (2.18) and AWS developer guide of the Java
nucleus.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RestartRules:
    """Rules for the restart of a failed component."""

    limit: int
    """Failures until the component is BROKEN."""
    window: float
    """Seconds after which failures no longer count."""
    pause: float
    """Seconds between a failure and the next start."""
    counts_starts: bool
    """Count starts within a window, as systemd's StartLimitBurst does; otherwise count failures that follow each other
    by less than ``window``."""
    clean_signals: frozenset[int]
    """Signals that end a component without counting as a failure."""
    restart_resets_broken: bool
    """RestartComponent starts a BROKEN component again; otherwise only a deployment does."""
    deployment_starts_finished: bool
    """A deployment starts components again that have FINISHED or were stopped."""


@dataclass(frozen=True, slots=True)
class UplinkRules:
    """Rules of the connection to IoT Core."""

    queued_bytes: int
    """Bytes of messages that wait for a connection in memory; 0: PublishToIoTCore fails while offline."""
    in_flight: int
    """Maximum number of unacknowledged publishes with QoS 1."""
    in_flight_bytes: int | None
    """Maximum size of unacknowledged MQTT packets in bytes."""
    paced: bool
    """Limit the rate to 100 messages and 512 KB a second."""
    persistent_session: bool
    """Resume the MQTT session and send unacknowledged publishes again; otherwise both are dropped on a reconnect."""
    waits_for_connection: bool
    """SubscribeToIoTCore is answered after the first connection; otherwise it fails until then."""
    awaits_suback: bool
    """SubscribeToIoTCore is answered after the broker's SUBACK; otherwise when it is sent, and a refusal is silent."""
    retains: bool
    """Forward the retain flag of a publish."""
    max_inbound_bytes: int | None
    """The largest MQTT packet that can be received; a larger one breaks the connection."""
    first_pause: float
    """Upper bound, in seconds, of the random pause before the first reconnect."""
    longest_pause: float
    """Upper bound of that pause after it has doubled with each failure."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Limits and behaviour of one nucleus."""

    name: str
    version: str
    component: str
    """The component name under which recipes depend on the nucleus itself."""
    max_packet_bytes: int
    """The largest event-stream frame, in bytes."""
    silent_close: bool
    """A frame above the limit, a wrong token or a violation of the protocol closes the connection without an answer."""
    typed_scalars: bool
    """YAML scalars keep their type; otherwise each one is the string written in the recipe."""
    strict_variables: bool
    """Each ``{`` in a script begins a recipe variable; otherwise only ``{namespace:key}`` does."""
    needs_runtime: bool
    """A manifest is used only when its Platform has ``runtime: "*"`` (or names the nucleus)."""
    exact_keys: bool
    """Lifecycle keys are case-sensitive."""
    lifecycle: frozenset[str]
    """Lifecycle steps that are run; others are ignored."""
    unzips: bool
    """A local deployment unpacks archives; otherwise it copies the artifact folder as it is."""
    soft_orders: bool
    """A SOFT dependency is started first; otherwise it has no effect on the start."""
    untyped_is_hard: bool
    """A dependency without DependencyType is HARD; otherwise it gives no order of starting."""
    binds_hard: bool
    """The end of a HARD dependency stops its dependants permanently (systemd's BindsTo); otherwise they wait for it."""
    installs_first: bool
    """A deployment starts no component before every install step has ended."""
    validates: bool
    """Components can validate configuration updates before they take effect."""
    ends_unary: bool
    """A unary response ends its stream; otherwise the client has to."""
    connects_by_name: bool
    """A process of a component can connect with the component's name, without a token."""
    terse_errors: bool
    """Errors have a fixed text under ``_message`` only, which the SDK's models do not read."""
    max_local_topic_bytes: int | None
    """The longest topic of local publish/subscribe."""
    daemons: tuple[str, ...]
    """Processes of the nucleus that can be restarted alone."""
    daemons_stopped_first: tuple[str, ...]
    """Those of them that a stop of the nucleus ends before the components."""
    restarts: RestartRules
    uplink: UplinkRules


JAVA = Profile(
    name="java",
    version="2.14.0",
    component="aws.greengrass.Nucleus",
    max_packet_bytes=16 * MIB,
    silent_close=False,
    typed_scalars=True,
    strict_variables=False,
    needs_runtime=False,
    exact_keys=False,
    lifecycle=frozenset({"bootstrap", "install", "startup", "run", "shutdown", "recover"}),
    unzips=True,
    soft_orders=False,
    untyped_is_hard=True,
    binds_hard=False,
    installs_first=False,
    validates=True,
    ends_unary=True,
    connects_by_name=False,
    terse_errors=False,
    max_local_topic_bytes=None,
    daemons=(),
    daemons_stopped_first=(),
    restarts=RestartRules(
        limit=3,
        window=3600.0,
        pause=0.0,
        counts_starts=False,
        clean_signals=frozenset(),
        restart_resets_broken=False,
        deployment_starts_finished=False,
    ),
    uplink=UplinkRules(
        queued_bytes=MIB * 5 // 2,
        in_flight=5,
        in_flight_bytes=None,
        paced=True,
        persistent_session=True,
        waits_for_connection=True,
        awaits_suback=True,
        retains=True,
        max_inbound_bytes=None,
        first_pause=1.0,
        longest_pause=120.0,
    ),
)
LITE = Profile(
    name="lite",
    version="2.6.0",
    component="aws.greengrass.NucleusLite",
    max_packet_bytes=10_000,
    silent_close=True,
    typed_scalars=False,
    strict_variables=True,
    needs_runtime=True,
    exact_keys=True,
    lifecycle=frozenset({"bootstrap", "install", "startup", "run"}),
    unzips=False,
    soft_orders=True,
    untyped_is_hard=False,
    binds_hard=True,
    installs_first=True,
    validates=False,
    ends_unary=False,
    connects_by_name=True,
    terse_errors=True,
    max_local_topic_bytes=256,
    daemons=("iotcored", "ggpubsubd", "ggconfigd", "ggipcd", "gghealthd"),
    daemons_stopped_first=("ggpubsubd", "iotcored"),
    restarts=RestartRules(
        limit=3,
        window=3600.0,
        pause=1.0,
        counts_starts=True,
        clean_signals=frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE}),
        restart_resets_broken=True,
        deployment_starts_finished=True,
    ),
    uplink=UplinkRules(
        queued_bytes=0,
        in_flight=10,
        in_flight_bytes=15_000,
        paced=False,
        persistent_session=False,
        waits_for_connection=False,
        awaits_suback=False,
        retains=False,
        max_inbound_bytes=5_000,
        first_pause=5.0,
        longest_pause=300.0,
    ),
)
PROFILES = {profile.name: profile for profile in (JAVA, LITE)}
