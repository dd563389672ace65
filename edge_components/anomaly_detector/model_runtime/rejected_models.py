"""Rejected models and the reasons: counted, logged once each, and listed in the health report."""

from __future__ import annotations

from edge_components.common.lifecycle import Runtime

MAX_REPORTED = 12
MAX_REASON = 200
MAX_REMEMBERED = 1000


class RejectedModels:
    """Reasons of rejections, by group and version."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._reasons: dict[str, str] = {}
        self._logged: set[str] = set()

    def add(self, group: str, version: str, reason: str) -> None:
        """Store, count and log the reason for the rejection of a group's model."""
        self._reasons[f"{group} {version}"] = reason
        self.log(f"group {group}: {reason}")

    def remember(self, group: str, version: str, reason: str) -> None:
        """Store a reason that was counted and logged before a restart."""
        self._reasons.setdefault(f"{group} {version}", reason)

    def forget(self, group: str) -> None:
        """Forget the reasons of a group."""
        self._reasons = {what: why for what, why in self._reasons.items() if what.split(" ")[0] != group}

    def log(self, reason: str) -> None:
        """Count and log a rejection, once."""
        if self._is_new(reason):
            self._runtime.counters.add("models_rejected")
            self._runtime.log.error("a model is rejected, the previous one stays: %s", reason)

    def warn(self, message: str) -> None:
        """Log a warning, once."""
        if self._is_new(message):
            self._runtime.log.warning("%s", message)

    def report(self, unread: dict[str, str]) -> dict[str, str]:
        """Return the newest reasons, shortened, with those of manifests that cannot be read."""
        newest = list((self._reasons | unread).items())[-MAX_REPORTED:]
        return {what: why[:MAX_REASON] for what, why in newest}

    def _is_new(self, message: str) -> bool:
        if message in self._logged:
            return False
        if len(self._logged) >= MAX_REMEMBERED:
            self._logged.clear()
        self._logged.add(message)
        return True
