"""Run of the local gateway and cloud: learn the topics, start the parts, print their state, save, stop the parts."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from device_sim.aws.errors import CloudSimError, PortTakenError
from device_sim.aws.front import Front
from device_sim.aws.local import LocalCloud
from device_sim.aws.process import check_port
from device_sim.aws.saved import SavedData, SavingThread
from device_sim.aws.store import CloudStore
from device_sim.demo.site import last_line
from device_sim.errors import SimulationError
from device_sim.greengrass.component_build import Build, Nucleus
from device_sim.greengrass.errors import NucleusError
from device_sim.greengrass.process import ERRORS as NUCLEUS_ERRORS
from device_sim.greengrass.process import NucleusProcess
from device_sim.interrupts import InterruptedRunError, Interrupts
from edge_components.common.ports import SystemClock
from strandline.errors import CommandError, StrandlineError, reason
from strandline.sources.broker import PASSWORD_VARIABLE, listen, read_password
from strandline.up import mapping
from strandline.up.configuration import UpOptions, merged_configuration
from strandline.up.status import Status

SAVE_S = 300.0
"""Interval at which the data of the cloud are saved; they are also saved at the end."""
WATCH_S = 15.0
"""Interval of the timer of alerts, which is a minute in AWS."""
READY_S = 300.0
STATUS_S = 10.0
POLL_S = 0.5
EMULATOR_LOG = "emulator.log"
STATE, LOCK = "up.json", "up.lock"
FORMAT = 1

Show = Callable[[str], None]
Publish = Callable[[Mapping[str, str]], None]


def run(options: UpOptions, show: Show, build: Build, publish: Publish = lambda addresses: None) -> int:
    """Run until the duration has passed or a signal arrives, and return the exit code; all started parts are stopped.

    Ctrl-C is the regular end of a run without a duration. ``publish`` receives the addresses when all parts run.
    Raises StrandlineError, SimulationError, CloudSimError and NucleusError.
    """
    clock, running = SystemClock(), False
    with Interrupts() as interrupts:
        try:
            folder = _open_folder(options.folder)
            if options.page_port is not None:
                check_port(options.page_port, "the page (--page-port)")
            sources = _sources(options, folder, clock.wall_ms(), show)
            with contextlib.ExitStack() as stack:
                stack.enter_context(_lock(folder))
                try:
                    parts = _Parts(options, folder, sources, stack, show, build, publish)
                    running = True
                    parts.follow()
                finally:
                    interrupts.hold()
                    if running:
                        show("stopping; the data are saved")
        except InterruptedRunError as error:
            show(f"stopped by {error}; all processes have ended")
            return 0 if running else error.exit_code
    show("all processes have ended; the same command continues with the saved data")
    return 0


class _Parts:
    """The started parts."""

    def __init__(
        self,
        options: UpOptions,
        folder: Path,
        sources: Sequence[dict[str, Any]],
        stack: contextlib.ExitStack,
        show: Show,
        build: Build,
        publish: Publish,
    ) -> None:
        self._options, self._show = options, show
        self._status, self._pause = Status(), threading.Event()
        built = build(folder / "build", Nucleus.JAVA)
        self._front = stack.enter_context(Front(_page_port(options.page_port, folder)))
        _keep_port(folder, int(self._front.url.rsplit(":", 1)[1]))
        _shorten(folder / "cloud" / EMULATOR_LOG)
        cloud = stack.enter_context(
            LocalCloud.start(folder / "cloud", parameters=self._front.parameters, watch_every_s=WATCH_S)
        )
        saved = SavedData(cloud, folder / "saved")
        items = saved.restore()
        show(f"cloud started with {items:,} saved items" if items else "cloud started without earlier data")
        self._front.attach(cloud)
        credentials = cloud.provision_gateway(options.gateway)
        # Entered before the gateway, so that the last save follows its end.
        stack.enter_context(SavingThread(saved, SAVE_S))
        self._store = CloudStore(cloud)
        self._nucleus = stack.enter_context(
            NucleusProcess.start(
                folder / "nucleus",
                options.gateway,
                built.recipes,
                built.artifacts,
                built.versions,
                merge=merged_configuration(sources, options.window_s, host=options.host),
                region=cloud.region,
                iot=credentials,
            )
        )
        show("waiting for the components of the gateway to start")
        self._nucleus.wait_running(READY_S)
        found = addresses(self._front, folder, self._nucleus.logs)
        for line in lines(found):
            show(line)
        publish(found)
        if options.open_page:
            webbrowser.open(self._front.url)

    def follow(self) -> None:
        """Print the state until the duration has passed; raises CommandError if the gateway ends."""
        started = time.monotonic()
        next_status = started
        while self._options.duration_s is None or time.monotonic() - started < self._options.duration_s:
            if not self._nucleus.alive:
                raise CommandError(f"the local gateway has ended: {self._reason()}")
            for failure in self._nucleus.new_failures():
                self._show(failure)
            if time.monotonic() >= next_status:
                next_status = time.monotonic() + STATUS_S
                self._print_status()
            self._pause.wait(POLL_S)
        self._print_status()

    def _reason(self) -> str:
        """Return the last line of the gateway's errors, or else the folder of the logs."""
        return last_line(self._nucleus.root / NUCLEUS_ERRORS) or f"see {self._nucleus.logs}"

    def _print_status(self) -> None:
        about = self._store.about(self._options.gateway)
        for line in self._status.alerts(self._store.alerts(self._options.gateway)):
            self._show(line)
        for line in self._status.rejections(about):
            self._show(f"{line}; the reasons are in {self._nucleus.log('io.strandline.SensorReader')}")
        self._show(self._status.counts(about))


def addresses(front: Front, folder: Path, logs: Path) -> dict[str, str]:
    """Return the addresses of page and API with a token, and the paths of configuration and logs."""
    return {
        "page": front.url,
        "api": f"{front.url}/v1",
        "token": front.token("local", "operator"),
        "sources": str(folder / mapping.FILE),
        "logs": str(logs),
    }


def lines(found: Mapping[str, str]) -> list[str]:
    """Return the addresses as text."""
    return [
        f"page   {found['page']}",
        f"API    {found['api']}, for strandline alerts, gateways, series, rules and silences in another terminal:",
        f"export STRANDLINE_URL={found['page']}",
        f"export STRANDLINE_TOKEN={found['token']}",
        f"topics {found['sources']}: edit it and start again, or start with --learn-again",
        f"logs   {found['logs']}",
    ]


def _open_folder(folder: Path) -> Path:
    """Make the folder of the data; raises CommandError for data of a newer format."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder = folder.resolve()
        state = folder / STATE
        found = json.loads(state.read_text()) if state.exists() else {"format": FORMAT}
    except (OSError, ValueError) as error:
        raise CommandError(f"--dir {folder}: {reason(error)}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise CommandError(
            f"{state}: this version reads format {FORMAT}: the folder was written by a newer version; install that "
            "version again, or use another --dir"
        )
    return folder


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Lock the folder against another run; raises CommandError."""
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CommandError(f"--dir {folder}: another `strandline up` runs there; use another --dir") from error
        yield


def _sources(options: UpOptions, folder: Path, now_ms: int, show: Show) -> list[dict[str, Any]]:
    """Return the entries of the sensor reader: the kept ones, or those learned from the broker now."""
    kept = mapping.read(folder)
    if kept is not None and not options.learn_again:
        show(f"topics as in {folder / mapping.FILE}")
        return kept
    connection = dict(options.connection)
    address = f"{connection['host']}:{connection['port']}"
    show(f"learning the topics of {address} for {options.learn_s:g} s")
    payloads = listen(connection, options.password, options.topics, options.learn_s)
    if not payloads:
        raise CommandError(
            f"{address}: nothing was published on {options.topics} within {options.learn_s:g} s: check the topic with "
            f"`mosquitto_sub -h {connection['host']} -p {connection['port']} -t '{options.topics}' -v`, or wait longer "
            "with --learn SECONDS"
        )
    if options.password:
        connection["password_file"] = mapping.keep_password(folder, options.password)
    learned = mapping.learn(connection, payloads, now_ms)
    for line in mapping.lines(learned):
        show(line)
    if not learned.accepted:
        raise CommandError(
            f"{address}: none of {len(payloads)} topics has readings that a payload format reads; write a mapping with "
            "`strandline source try` (docs/sources.md)"
        )
    sources = [dict(learned.entry)]
    show(f"the mapping is kept in {mapping.keep(folder, sources)}")
    return sources


def password(ask: Callable[[str], str], folder: Path) -> str | None:
    """Return the password: of the environment, or as kept by an earlier run, or asked for on a terminal."""
    if PASSWORD_VARIABLE not in os.environ:
        with contextlib.suppress(OSError):
            return (folder / mapping.PASSWORD_FILE).read_text()
    return read_password(ask)


def _page_port(asked: int | None, folder: Path) -> int | None:
    """Return the requested port, or that of the last run if it is free, else None."""
    if asked is not None:
        return asked
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, PortTakenError):
        return check_port(int(json.loads((folder / STATE).read_text())["page_port"]), "the page")
    return None


def _keep_port(folder: Path, port: int) -> None:
    with contextlib.suppress(OSError):
        (folder / STATE).write_text(json.dumps({"format": FORMAT, "page_port": port}) + "\n")


def _shorten(log: Path) -> None:
    """Keep the log of the last run only."""
    with contextlib.suppress(FileNotFoundError):
        log.replace(log.with_suffix(".1.log"))


ERRORS = (StrandlineError, SimulationError, CloudSimError, NucleusError)
"""Errors with a sentence for the user."""
