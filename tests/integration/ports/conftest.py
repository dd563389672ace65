"""The cloud that the contract tests of the ports run against, one after the other."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator

import pytest

from cloud_functions.core.errors import StoreError
from tests.integration.ports import cloud as clouds
from tests.integration.ports.cloud import Adapters, Cloud
from tests.integration.ports.faults import Fault, StoppedError

_NUMBERS = itertools.count()


@pytest.fixture(scope="session", params=clouds.names())
def cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A running cloud."""
    try:
        starting = clouds.start(request.param, tmp_path_factory.mktemp(request.param))
        running = starting.__enter__()
    except clouds.MissingError as error:
        pytest.skip(str(error))
    try:
        yield running
    finally:
        starting.__exit__(None, None, None)


@pytest.fixture
def adapters(cloud: Cloud) -> Adapters:
    """New adapters; no message of an earlier test is left."""
    cloud.faults.stop()
    cloud.acknowledged()
    cloud.kept()
    for channel_type in clouds.CHANNEL_TYPES:
        cloud.queued(channel_type)
    return cloud.connect()


Act = Callable[[Adapters, str], None]


class Interruptions:
    """Runs something once for each fault at each call of the cloud's clients, and then again without a fault."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.runs = 0

    def at_every_call(self, act: Act, check: Act, again: int = 1, throttled_step: int = 1) -> None:
        """Run ``act`` with a fault, then ``again`` times without one, in new processes; then ``check``.

        Both get a name that no other run has. Of the calls, each ``throttled_step``-th is throttled.
        """
        for fault in Fault:
            for call in itertools.count(step=throttled_step if fault is Fault.THROTTLED else 1):
                self.runs += 1
                name = fresh_name()
                self.cloud.faults.at(call, fault)
                with contextlib.suppress(StoppedError, StoreError):
                    act(self.cloud.connect(), name)
                happened = self.cloud.faults.happened
                self.cloud.faults.stop()
                for _ in range(again):
                    act(self.cloud.connect(), name)
                check(self.cloud.connect(), name)
                if not happened:
                    break


@pytest.fixture
def interruptions(cloud: Cloud, adapters: Adapters) -> Interruptions:
    """The faults of the cloud."""
    return Interruptions(cloud)


def fresh_name() -> str:
    """Return a name that was not returned before."""
    return f"name-{next(_NUMBERS)}"


@pytest.fixture
def pk() -> str:
    """A partition of a table that no other test uses."""
    return fresh_name()
