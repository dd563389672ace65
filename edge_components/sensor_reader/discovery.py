"""Discovery of a package's modules by name: adding a file adds a source kind, payload format or preset."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def names(package: ModuleType) -> list[str]:
    """Return the names of a package's modules, without importing them."""
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_"))


def load(package: ModuleType, name: str) -> ModuleType:
    """Import and return the module ``name``, which must be one of :func:`names`."""
    return importlib.import_module(f"{package.__name__}.{name}")
