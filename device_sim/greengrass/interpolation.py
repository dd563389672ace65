"""Recipe variables: ``{namespace:key}`` in scripts and environments; pure.

Supported are ``{artifacts:path}``, ``{artifacts:decompressedPath}``, ``{work:path}``, ``{kernel:rootPath}``,
``{iot:thingName}`` and ``{configuration:<JSON pointer>}``; on the Java nucleus also those of a dependency, with its
name as prefix (``{io.example.Other:artifacts:path}``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from device_sim.greengrass.configuration import find, parse_pointer
from device_sim.greengrass.errors import ConfigurationError, VariableError

KNOWN = (
    "{artifacts:path}",
    "{artifacts:decompressedPath}",
    "{work:path}",
    "{kernel:rootPath}",
    "{iot:thingName}",
    "{configuration:/json/pointer}",
)
_VARIABLE = re.compile(r"\{(?:(?P<component>[A-Za-z][\w.-]*):)?(?P<space>[A-Za-z]+):(?P<key>[^{}:]*)\}")
_BRACED = re.compile(r"\{[^{}\n]*\}?")


@dataclass(frozen=True, slots=True)
class Scope:
    """Values of a component's variables: fixed values by ``namespace:key``, and its configuration."""

    fixed: Mapping[str, str]
    configuration: Mapping[str, Any]


def interpolate(script: str, name: str, scopes: Mapping[str, Scope], strict: bool) -> str:
    """Return ``script`` with its variables replaced.

    ``scopes`` holds the component ``name`` and its dependencies. With ``strict``, as on nucleus lite, every ``{``
    must begin a variable of the component itself; otherwise text not of the form ``{namespace:key}`` is kept.
    Raises VariableError that names the variable and the supported ones.
    """
    pieces, at = [], 0
    while (start := script.find("{", at)) >= 0:
        match = _VARIABLE.match(script, start)
        if match is None and strict:
            found = _BRACED.match(script, start)
            what = found[0] if found else script[start : start + 20]
            raise VariableError(
                f"{what!r} is not a variable, and on nucleus lite every {{ begins a variable; {_allowed()}"
            )
        if match is not None and match["component"] is not None and strict:
            raise VariableError(
                f"{match[0]!r}: nucleus lite does not support variables of other components; {_allowed()}"
            )
        pieces.append(script[at:start])
        pieces.append(script[start] if match is None else _value(match, name, scopes))
        at = start + 1 if match is None else match.end()
    return "".join(pieces) + script[at:]


def _value(match: re.Match[str], name: str, scopes: Mapping[str, Scope]) -> str:
    owner = match["component"] or name
    if owner not in scopes:
        raise VariableError(f"{match[0]!r}: {owner} is not a dependency of {name}")
    scope = scopes[owner]
    if match["space"] == "configuration":
        try:
            return _as_text(find(scope.configuration, parse_pointer(match["key"])))
        except (KeyError, ConfigurationError) as error:
            raise VariableError(f"{match[0]!r}: {owner} has no configuration at {match['key']!r}") from error
    try:
        return scope.fixed[f"{match['space']}:{match['key']}"]
    except KeyError as error:
        raise VariableError(f"{match[0]!r} is not a variable; {_allowed()}") from error


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _allowed() -> str:
    return f"allowed are {', '.join(KNOWN)}"
