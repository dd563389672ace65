"""What was refused and why, as it is counted, logged (each sentence once) and told in the health report."""

from __future__ import annotations

from edge_components.common.lifecycle import Runtime

TOLD = 12
LONGEST_TOLD = 200
MOST_REMEMBERED = 1000


class Refusals:
    """Keeps reasons by what was refused."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._reasons: dict[str, str] = {}
        self._said: set[str] = set()

    def add(self, group: str, version: str, reason: str) -> None:
        """Keep, count and log why a model of a group is refused."""
        self._reasons[f"{group} {version}"] = reason
        self.tell(f"group {group}: {reason}")

    def remember(self, group: str, version: str, reason: str) -> None:
        """Keep a reason that was counted and logged before a restart."""
        self._reasons.setdefault(f"{group} {version}", reason)

    def forget(self, group: str) -> None:
        """Keep nothing more of a group."""
        self._reasons = {what: why for what, why in self._reasons.items() if what.split(" ")[0] != group}

    def tell(self, sentence: str) -> None:
        """Count and log a refusal, once."""
        if self._is_new(sentence):
            self._runtime.counters.add("model_refused")
            self._runtime.log.error("a model is refused, what there was stays: %s", sentence)

    def complain(self, sentence: str) -> None:
        """Log what is wrong, once."""
        if self._is_new(sentence):
            self._runtime.log.warning("%s", sentence)

    def report(self, unread: dict[str, str]) -> dict[str, str]:
        """Return the newest reasons, shortened, with those of manifests that cannot be read."""
        newest = list((self._reasons | unread).items())[-TOLD:]
        return {what: why[:LONGEST_TOLD] for what, why in newest}

    def _is_new(self, sentence: str) -> bool:
        if sentence in self._said:
            return False
        if len(self._said) >= MOST_REMEMBERED:
            self._said.clear()
        self._said.add(sentence)
        return True
