"""Settings of all tests: profiles of Hypothesis, order and groups for pytest-xdist, and limits of the fast folders."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.examples import FEW, MANY, USUAL

# No deadline for an example: a busy machine is not a defect. The usual runs have the same examples each time, so that a
# run that fails shows a change of the code; new examples are found by the thorough profile.
settings.register_profile("strandline", deadline=None, max_examples=USUAL, derandomize=True)
settings.register_profile("fast", deadline=None, max_examples=FEW, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=MANY)
settings.load_profile("strandline")

HERE = Path(__file__).parent
LONGEST_FIRST = ("chaos", "e2e", "integration", "page", "contract", "property")
"""Folders in the order in which they start, so that no long test begins when the other workers have finished."""
LONG_FILES = {"test_stored_sources.py", "test_cloud_deadletters.py"}
"""Files of ``integration`` that wait for minutes; each is one group and starts before the others of its folder."""
WHOLE_SYSTEM = {"chaos", "e2e"}
"""Folders whose tests start the whole system and mostly wait; those of a folder run one after another."""
FAST = {"unit", "property", "contract", "compat"}
"""Folders whose tests start no process and open no server socket."""
FORBIDDEN = {"subprocess.Popen", "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.system", "socket.bind"}
"""Audit events that a test of a fast folder must not cause."""

_events: list[str] | None = None
_others: set[int | None] = set()
"""Threads that an earlier test left running: their events are not those of the test that runs."""


def _record(event: str, arguments: tuple[object, ...]) -> None:
    # numpy.testing calls lscpu once when it is imported.
    if _events is None or event not in FORBIDDEN or arguments[:1] == ("lscpu",):
        return
    if threading.get_ident() not in _others:
        _events.append(f"{event}{arguments}")


sys.addaudithook(_record)


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(HERE).parts[0]


def _rank(item: pytest.Item) -> tuple[int, bool]:
    folder = _folder(item)
    place = LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)
    return place, item.path.name not in LONG_FILES


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collect the tests without garbage collection, and exempt them from it: they stay until the end."""
    session.config.args = _own_order(session.config)
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _own_order(config: pytest.Config) -> list[str]:
    """Return what to collect; for a worker of pytest-xdist as files, in an order that begins at a place of its own.

    Workers that import the same files at the same time would all compile each of them. Of those that begin at different
    files, each one finds the others' compiled files when it reaches them.
    """
    worker = getattr(config, "workerinput", None)
    folders = [config.invocation_params.dir / one for one in config.args]
    if worker is None or not all(folder.is_dir() for folder in folders):
        return config.args
    files = [str(file) for folder in folders for file in sorted(folder.rglob("test_*.py"))]
    first = len(files) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    return files[first:] + files[:first]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, object, object]:
    """Sort the tests by file, so that all workers have one order, and in the end by folder, longest first."""
    items.sort(key=lambda item: str(item.path))
    result = yield
    items.sort(key=_rank)
    return result


def work_unit(nodeid: str) -> str:
    """Return the name of the group that a test is distributed with: pytest-xdist gives a group to one worker.

    Each folder with tests of the whole system is a group, and the contract tests of the cloud's ports, which share
    started clouds. Each file of ``integration`` and ``page`` is one because of its module fixtures, and every other
    test is distributed alone.
    """
    file = nodeid.split("::")[0]
    _, _, rest = f"/{file}".partition("/tests/")
    folder = rest.split("/")[0]
    if rest.startswith("integration/ports/"):
        return "integration/ports"
    if folder in WHOLE_SYSTEM:
        return folder
    return file if folder in {"integration", "page"} else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Distribute by ``work_unit``; xdist's own groups have no effect with pytest 9.2, which keeps test names."""
    from xdist.scheduler import LoadScopeScheduling

    class GroupScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return work_unit(nodeid)

    return GroupScheduling(config, log) if config.getvalue("dist") == "loadgroup" else None


@pytest.fixture(autouse=True)
def no_processes_in_fast_folders(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test of a fast folder that starts a process or binds a socket: it belongs to ``integration``."""
    global _events, _others
    if _folder(request.node) not in FAST:
        yield
        return
    _others = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
    _events = events = []
    yield
    _events = None
    assert not events, f"{sorted(set(events))}: a test that starts processes or servers belongs to tests/integration"
