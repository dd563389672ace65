"""Configuration of a running component: validation at the start and at each update, and the last good configuration.

Nucleus lite stores a configuration that a component rejects, and passes it to the next start. So the last valid
configuration is kept in the work folder; a start with an invalid one uses it and reports that.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from edge_components.common.config import RESERVED, load
from edge_components.common.errors import ConfigError
from edge_components.common.files import replace_file
from edge_components.common.limited_log import RateLimitedLog
from edge_components.common.ports import Bus

C = TypeVar("C")
FILE = "last_good_configuration.json"
REPORTED_PROBLEMS = 3


@runtime_checkable
class HasValidPart(Protocol):
    """Configuration that can be used in part, such as a list of sources without the invalid ones."""

    @staticmethod
    def valid_part(values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the values without the parts that are not valid."""


class LastGoodConfiguration:
    """File with the last valid values, replaced atomically when they change."""

    def __init__(self, path: Path, log: logging.Logger) -> None:
        self._path, self._log = path, log

    def read(self) -> Mapping[str, Any] | None:
        """Return the values, None if the file is missing or damaged."""
        try:
            content = json.loads(self._path.read_bytes())
            values = content["values"]
            if content["crc32"] != _crc(values) or not isinstance(values, dict):
                raise ValueError("checksum mismatch")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            self._log.warning("%s is unusable: %s: %s", self._path.name, type(error).__name__, error)
            return None
        return values

    def save(self, values: Mapping[str, Any]) -> None:
        """Write the values unless the file has them; a failure is logged, because the file is not essential."""
        kept = {key: value for key, value in values.items() if key not in RESERVED}
        if self.read() == kept:
            return
        try:
            replace_file(self._path, json.dumps({"crc32": _crc(kept), "values": kept}).encode())
        except (OSError, ValueError, TypeError) as error:
            self._log.warning("the last good configuration cannot be written: %s", error)


def _crc(values: Any) -> int:
    return zlib.crc32(json.dumps(values, sort_keys=True).encode())


class LiveConfiguration(Generic[C]):
    """Validation and application of the nucleus' configuration, and its storage for the next start."""

    def __init__(
        self,
        kind: type[C],
        bus: Bus,
        last_good: LastGoodConfiguration,
        log: logging.Logger,
        limited_log: RateLimitedLog,
    ) -> None:
        self._kind, self._bus, self._last_good, self._log, self._limited_log = kind, bus, last_good, log, limited_log
        self._applied: C | None = None
        self._rejected_values: Mapping[str, Any] | None = None
        self.rejected: tuple[str, ...] = ()
        """Problems of the nucleus' configuration, while the component uses an earlier one."""

    def begin(self, values: Mapping[str, Any]) -> C:
        """Return the configuration to start with; raises ConfigError if neither ``values`` nor the stored one is valid.

        Each problem is logged as an error. Where nothing is stored, the valid part of ``values`` is used, if the
        configuration has one (:class:`HasValidPart`).
        """
        try:
            self._applied = load(self._kind, values)
        except ConfigError as error:
            self._reject(values, error)
            kept = self._last_good.read()
            if kept is None:
                self._applied = self._valid_part(values, error)
                return self._applied
            try:
                self._applied = load(self._kind, kept)
            except ConfigError:
                self._log.error("the last good configuration is invalid in this version")
                raise error from None
            self._log.error("the configuration is rejected; starting with the last good one")
        else:
            self._last_good.save(values)
        return self._applied

    def _valid_part(self, values: Mapping[str, Any], error: ConfigError) -> C:
        """Return the configuration of the valid part of ``values``; raises ``error`` without such a part."""
        if not isinstance(self._kind, HasValidPart):
            raise error
        try:
            applied: C = load(self._kind, self._kind.valid_part(values))
        except ConfigError:
            raise error from None
        self._log.error("the configuration is rejected; starting with the valid part of it")
        return applied

    def validate(self, values: Mapping[str, Any]) -> str | None:
        """Return the problems of an update, None if it is valid."""
        try:
            load(self._kind, values)
        except ConfigError as error:
            self._reject(values, error)
            return str(error)
        return None

    def update(self, reconfigure: Callable[[C], None]) -> None:
        """Read the nucleus' configuration and apply it if it is valid and differs; raises BusError.

        If ``reconfigure`` fails, the next call tries again.
        """
        values = self._bus.configuration()
        if values == self._rejected_values:
            return
        try:
            wanted = load(self._kind, values)
        except ConfigError as error:
            self._reject(values, error)
            return
        self.rejected, self._rejected_values = (), None
        if wanted == self._applied:
            return
        reconfigure(wanted)
        self._applied = wanted
        self._last_good.save(values)
        self._limited_log.count("configuration_applied")
        self._log.info("configuration updated", extra={"fields": {"config": wanted}})

    def _reject(self, values: Mapping[str, Any], error: ConfigError) -> None:
        if values == self._rejected_values:
            return
        self._rejected_values, self.rejected = values, error.problems
        self._limited_log.count("configuration_rejected")
        for problem in error.problems:
            self._log.error("configuration rejected: %s", problem)

    def health(self) -> dict[str, Any]:
        """Return the part of the health report about a rejected configuration; empty if none is rejected."""
        return {"configuration_rejected": list(self.rejected[:REPORTED_PROBLEMS])} if self.rejected else {}
