"""Command-line options, validated before anything starts.

Every error names the option, the value and the allowed values.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from device_sim.greengrass.component_state import STOP_SECONDS, Limits
from device_sim.greengrass.configuration import ConfigurationUpdate, check_depth
from device_sim.greengrass.endpoint import Endpoint
from device_sim.greengrass.errors import ConfigurationError, StartError, VersionError
from device_sim.greengrass.profile import PROFILES, Profile, UplinkRules
from device_sim.greengrass.versions import parse_version

_THING = re.compile(r"[A-Za-z0-9:_-]{1,128}")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings from the command line."""

    root: Path
    thing: str
    region: str
    recipes: Path
    artifacts: Path
    deploy: Mapping[str, str]
    updates: Mapping[str, ConfigurationUpdate]
    profile: Profile
    endpoint: Endpoint | None
    limits: Limits
    uplink: UplinkRules
    validation_seconds: float


def read(argv: Sequence[str]) -> Settings:
    """Return the settings; raises StartError, or SystemExit for errors that argparse reports itself."""
    given = _parser().parse_args(argv)
    if not _THING.fullmatch(given.thing):
        raise StartError(f"--thing {given.thing!r}: 1 to 128 letters, digits, :, _ and - are allowed")
    for option in ("recipes", "artifacts"):
        if not getattr(given, option).is_dir():
            raise StartError(f"--{option} {getattr(given, option)}: no such folder")
    if given.restart_limit is not None and given.restart_limit < 1:
        raise StartError(f"--restart-limit {given.restart_limit}: 1 or more is allowed")
    profile = PROFILES[given.profile]
    return Settings(
        root=given.root.absolute(),
        thing=given.thing,
        region=given.region,
        recipes=given.recipes.absolute(),
        artifacts=given.artifacts.absolute(),
        deploy=dict(_deployed(text) for text in given.deploy),
        updates=_updates(given.merge_config),
        profile=profile,
        endpoint=_endpoint(given),
        limits=_limits(given, profile),
        uplink=_uplink(given, profile),
        validation_seconds=given.validation_seconds,
    )


def _limits(given: argparse.Namespace, profile: Profile) -> Limits:
    asked = {"limit": given.restart_limit, "pause": given.restart_pause}
    restarts = replace(profile.restarts, **{name: value for name, value in asked.items() if value is not None})
    return Limits(restarts, profile.binds_hard, profile.soft_orders, profile.installs_first, given.stop_seconds)


def _uplink(given: argparse.Namespace, profile: Profile) -> UplinkRules:
    longest, rules = given.reconnect_seconds, profile.uplink
    if longest is None:
        return rules
    return replace(rules, first_pause=min(rules.first_pause, longest), longest_pause=longest)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m device_sim.greengrass", description="A local AWS IoT Greengrass v2."
    )
    parser.add_argument(
        "--root", type=Path, required=True, help="root folder of the nucleus, created if it does not exist"
    )
    parser.add_argument("--thing", required=True, help="name of the gateway")
    parser.add_argument("--recipes", type=Path, required=True, help="folder of recipes")
    parser.add_argument("--artifacts", type=Path, required=True, help="folder with NAME/VERSION/FILE")
    parser.add_argument("--deploy", action="append", default=[], metavar="NAME=VERSION", help="a component to run")
    parser.add_argument("--merge-config", type=Path, metavar="FILE", help="JSON: configuration to merge, by component")
    parser.add_argument("--profile", choices=sorted(PROFILES), default="java")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--iot-endpoint", metavar="HOST:PORT", help="IoT Core; without it the gateway is offline")
    parser.add_argument("--cert", type=Path, help="certificate of the gateway (PEM)")
    parser.add_argument("--key", type=Path, help="private key of the certificate (PEM)")
    parser.add_argument("--ca", type=Path, help="CA that signed the certificate of IoT Core (PEM)")
    parser.add_argument("--restart-limit", type=int, help="failures an hour until BROKEN; default: the profile's")
    parser.add_argument("--restart-pause", type=float, help="seconds before a restart; default: the profile's")
    parser.add_argument("--stop-seconds", type=float, default=STOP_SECONDS, help="seconds from SIGTERM to SIGKILL")
    parser.add_argument(
        "--reconnect-seconds", type=float, help="longest pause before a reconnect; default: the profile's"
    )
    parser.add_argument(
        "--validation-seconds",
        type=float,
        default=20.0,
        help="seconds that a component has to validate a configuration",
    )
    return parser


def _deployed(text: str) -> tuple[str, str]:
    name, separator, version = text.partition("=")
    try:
        if not name or not separator:
            raise VersionError("NAME=VERSION is required")
        parse_version(version)
    except VersionError as error:
        raise StartError(f"--deploy {text!r}: {error}") from error
    return name, version


def _updates(file: Path | None) -> dict[str, ConfigurationUpdate]:
    if file is None:
        return {}
    try:
        given = json.loads(file.read_bytes())
        check_depth(given)
    except (OSError, ValueError, RecursionError, ConfigurationError) as error:
        raise StartError(f"--merge-config {file}: {error}") from error
    if not isinstance(given, dict) or not all(isinstance(values, dict) for values in given.values()):
        raise StartError(f"--merge-config {file}: an object of objects by component name is required")
    return {name: ConfigurationUpdate(merge=values) for name, values in given.items()}


def _endpoint(given: argparse.Namespace) -> Endpoint | None:
    options = {"--iot-endpoint": given.iot_endpoint, "--cert": given.cert, "--key": given.key, "--ca": given.ca}
    absent = [name for name, value in options.items() if value is None]
    if len(absent) == len(options):
        return None
    if absent:
        raise StartError(f"{', '.join(absent)}: required with {', '.join(options.keys() - set(absent))}")
    host, _, port = given.iot_endpoint.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise StartError(f"--iot-endpoint {given.iot_endpoint!r}: HOST:PORT with a port from 1 to 65535 is required")
    return Endpoint(host.strip("[]"), int(port), given.cert, given.key, given.ca)
