"""How the two nuclei that AWS ships differ, as far as a component can see.

Measured on nucleus lite 2.6.0; the Java nucleus as its sources and AWS' developer guide describe it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """The limits and habits of one nucleus."""

    name: str
    version: str
    component: str
    """The name under which recipes depend on the nucleus itself."""
    max_packet_bytes: int
    """The largest event-stream frame, in bytes."""
    silent_overflow: bool
    """A frame above the limit closes the connection without an error."""
    typed_scalars: bool
    """YAML scalars keep their type; otherwise every one arrives as the string that stands in the recipe."""
    strict_variables: bool
    """Every ``{`` of a script begins a recipe variable; otherwise only ``{namespace:key}`` does."""
    needs_runtime: bool
    """A manifest counts only when its Platform has ``runtime: "*"`` (or names the nucleus)."""
    exact_keys: bool
    """Lifecycle keys are case-sensitive."""
    lifecycle: frozenset[str]
    """The lifecycle steps that are run; others are ignored."""
    validates: bool
    """Components may validate configuration updates before they count."""
    ends_unary: bool
    """A unary response ends its stream; otherwise the client has to."""
    queues_offline: bool
    """PublishToIoTCore queues while there is no connection; otherwise it fails."""


JAVA = Profile(
    name="java",
    version="2.14.0",
    component="aws.greengrass.Nucleus",
    max_packet_bytes=16 * 1024 * 1024,
    silent_overflow=False,
    typed_scalars=True,
    strict_variables=False,
    needs_runtime=False,
    exact_keys=False,
    lifecycle=frozenset({"bootstrap", "install", "startup", "run", "shutdown", "recover"}),
    validates=True,
    ends_unary=True,
    queues_offline=True,
)
LITE = Profile(
    name="lite",
    version="2.6.0",
    component="aws.greengrass.NucleusLite",
    max_packet_bytes=10_000,
    silent_overflow=True,
    typed_scalars=False,
    strict_variables=True,
    needs_runtime=True,
    exact_keys=True,
    lifecycle=frozenset({"bootstrap", "install", "startup", "run"}),
    validates=False,
    ends_unary=False,
    queues_offline=False,
)
PROFILES = {profile.name: profile for profile in (JAVA, LITE)}
