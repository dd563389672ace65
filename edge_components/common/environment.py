"""Description of the Python environment shared by the components, which io.strandline.Runtime writes.

Standard library only: components read this before the environment exists.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from edge_components.common.errors import RuntimeEnvironmentError
from edge_components.common.files import replace_file
from edge_components.common.requirements import normalised

FILE = "environment.json"
BYTECODE = "bytecode"
MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""Variables by which glibc returns the memory of a backlog to the system; a threshold that is set does not grow."""
LINEAR_ALGEBRA = {"OPENBLAS_NUM_THREADS": "1"}
"""One thread for NumPy: the matrices of a series are small, and more threads only wait for one another, busily."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Usable environment: its interpreter, and the version of each package that components may require."""

    python: str
    version: str
    machine: str
    packages: Mapping[str, str]
    absent: Mapping[str, str] = field(default_factory=dict)
    """Optional packages that could not be installed, with the reason."""

    def package(self, name: str) -> str | None:
        """Return a package's version, None if it is absent."""
        return self.packages.get(normalised(name))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the environment that :meth:`to_dict` described; raises KeyError or TypeError."""
        python, version, machine = (values[key] for key in ("python", "version", "machine"))
        return cls(python, version, machine, dict(values["packages"]), dict(values.get("absent", {})))

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the file, whose keys do not depend on the names of attributes."""
        return {
            "python": self.python,
            "version": self.version,
            "machine": self.machine,
            "packages": dict(self.packages),
            "absent": dict(self.absent),
        }

    def variables(self, runtime: Path) -> dict[str, str]:
        """Return the variables with which a component runs, ``runtime`` being the Runtime's work folder.

        Without docstrings a component needs 3 MB less. Compiled modules are kept outside of the packages, since a
        component may not write beside a deployed module and would compile it at every start.
        """
        own = Path(self.python).parents[1]
        virtual = (own / "pyvenv.cfg").exists() and os.access(own, os.W_OK)
        folder = (own if virtual else runtime) / BYTECODE
        python = {"PYTHONOPTIMIZE": "2", "PYTHONPYCACHEPREFIX": str(folder), "PYTHONDONTWRITEBYTECODE": ""}
        return python | MALLOC | LINEAR_ALGEBRA

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the description; raises RuntimeEnvironmentError if the file or the interpreter is missing or invalid."""
        file = folder / FILE
        try:
            found = cls.from_dict(json.loads(file.read_text()))
            if not all(isinstance(text, str) for text in (found.python, found.version, *found.packages.values())):
                raise TypeError("python, version and packages must be strings")
            usable = os.access(found.python, os.X_OK)
        except FileNotFoundError:
            raise RuntimeEnvironmentError(f"{file} does not exist yet") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RuntimeEnvironmentError(f"{file}: {error}") from error
        if not usable:
            raise RuntimeEnvironmentError(f"{file}: {found.python} cannot be executed")
        return found

    def write(self, folder: Path) -> None:
        """Replace the description atomically."""
        replace_file(folder / FILE, json.dumps(self.to_dict(), indent=1).encode())
