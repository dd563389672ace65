"""Descriptions of AWS services reduced to the operations that a function uses, for its package.

The SDK reads the description of a service with all its operations, and the endpoints of all services, whenever a client
is made; with the reduced ones this takes a tenth of the time. They are made from those of the installed SDK, and are in
the folders and files that its loader expects.
"""

from __future__ import annotations

import ast
import functools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

FOLDER = "cloud_functions/service_models"
"""Folder in a package, as cloud_functions/adapters/aws.py expects it."""
_COMMON = ("partitions", "_retry", "sdk-default-configuration")
_CALLS = ("client", "lazy_client")


def available() -> bool:
    """Return True if the SDK is installed, which is optional for a build."""
    try:
        import botocore  # noqa: F401
    except ImportError:
        return False
    return True


class ServiceModels:
    """Descriptions of the installed SDK's services; each is read once for the packages of all functions."""

    def __init__(self) -> None:
        self._loader: Any = None
        if available():
            from botocore.session import Session

            self._loader = Session().get_component("data_loader")

    def write(self, files: Iterable[Path], package: Path) -> None:
        """Write to a package the descriptions of the services that its modules, ``files``, name and call.

        Without an installed SDK nothing is written, and the function reads the whole descriptions of the SDK at run
        time.
        """
        if self._loader is None:
            return
        services, called = _used(files)
        folder, prefixes = package / FOLDER, set[str]()
        for service in sorted(services):
            version = self._loader.determine_latest_version(service, "service-2")
            described = _reduced(self._loader.load_service_model(service, "service-2", version), called)
            prefixes.add(described["metadata"]["endpointPrefix"])
            _dump(folder / service / version / "service-2.json", described)
            rules = self._loader.load_service_model(service, "endpoint-rule-set-1", version)
            _dump(folder / service / version / "endpoint-rule-set-1.json", rules)
        _dump(folder / "endpoints.json", _endpoints(self._loader.load_data("endpoints"), prefixes))
        for name in _COMMON:
            _dump(folder / f"{name}.json", self._loader.load_data(name))


def _used(files: Iterable[Path]) -> tuple[set[str], set[str]]:
    """Return the names of services for which the modules make clients, and the names of all attributes in them."""
    services, attributes = set[str](), set[str]()
    for file in files:
        if file.suffix != ".py":
            continue
        found = _used_in(file.read_bytes())
        services |= found[0]
        attributes |= found[1]
    return services, attributes


@functools.cache
def _used_in(source: bytes) -> tuple[frozenset[str], frozenset[str]]:
    """Return the services and attributes of one module; functions share most modules."""
    services, attributes = set[str](), set[str]()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(attr=name):
                attributes.add(name)
            case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str(service)), *_]) if name in _CALLS:
                services.add(service)
    return frozenset(services), frozenset(attributes)


def _reduced(described: dict[str, Any], called: set[str]) -> dict[str, Any]:
    """Return a service's description with the operations whose methods are among the called names."""
    from botocore import xform_name

    operations = {name: one for name, one in described["operations"].items() if xform_name(name) in called}
    shapes: dict[str, Any] = {}
    waiting = list(_references(list(operations.values())))
    while waiting:
        name = waiting.pop()
        if name not in shapes:
            shapes[name] = described["shapes"][name]
            waiting += _references(shapes[name])
    return {
        **{name: part for name, part in described.items() if name != "documentation"},
        "operations": _without_documentation(operations),
        "shapes": _without_documentation(dict(sorted(shapes.items()))),
    }


def _references(part: Any) -> Iterator[str]:
    """Yield the names of the shapes to which a part of a description refers."""
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "shape" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


def _without_documentation(part: Any) -> Any:
    if isinstance(part, dict):
        # A member of a structure may have this name; its value is not a text.
        return {
            name: _without_documentation(value)
            for name, value in part.items()
            if not (name == "documentation" and isinstance(value, str))
        }
    return [_without_documentation(value) for value in part] if isinstance(part, list) else part


def _endpoints(known: dict[str, Any], prefixes: set[str]) -> dict[str, Any]:
    """Return the endpoints of all regions with those of the services only."""
    partitions = [
        {**one, "services": {name: value for name, value in one["services"].items() if name in prefixes}}
        for one in known["partitions"]
    ]
    return {**known, "partitions": partitions}


def _dump(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, separators=(",", ":"), sort_keys=True))
