"""Validation of new configurations by running components."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

Ask = Callable[[Mapping[str, Any]], None]
"""Function that sends a ValidateConfigurationUpdateEvent to the component."""


class Validators:
    """Registered validators and pending reports, at most one per component."""

    def __init__(self) -> None:
        self._validators: dict[str, Ask] = {}
        self._waiting: dict[tuple[str, str], asyncio.Future[str | None]] = {}

    def subscribe(self, name: str, ask: Ask) -> Callable[[], None]:
        """Register a validator and return the function that removes it; the newest registration is used."""
        self._validators[name] = ask

        def end() -> None:
            if self._validators.get(name) is ask:
                del self._validators[name]

        return end

    def report(self, name: str, deployment: str, refused: str | None) -> bool:
        """Accept a component's report (None: accepted); return whether a validation was pending."""
        waiting = self._waiting.get((name, deployment))
        if waiting is None or waiting.done():
            return False
        waiting.set_result(refused)
        return True

    async def ask(self, proposed: Mapping[str, Mapping[str, Any]], deployment: str, seconds: float) -> list[str]:
        """Ask all registered components concurrently; return an error text for each rejection or timeout."""
        asked = [name for name in proposed if name in self._validators]
        answers = await asyncio.gather(*(self._one(name, proposed[name], deployment, seconds) for name in asked))
        return [answer for answer in answers if answer is not None]

    async def _one(self, name: str, values: Mapping[str, Any], deployment: str, seconds: float) -> str | None:
        waiting = self._waiting[name, deployment] = asyncio.get_running_loop().create_future()
        try:
            self._validators[name]({"configuration": values, "deploymentId": deployment})
            refused = await asyncio.wait_for(waiting, seconds)
        except TimeoutError:
            return f"{name} did not validate its configuration in {seconds:g} s"
        finally:
            del self._waiting[name, deployment]
        return None if refused is None else f"{name} rejects its configuration: {refused}"
