"""Entry point: create the nucleus, run it until SIGTERM or SIGINT, and clean up.

Exit codes: 0 after a signal, 2 when it cannot start (reason on standard error), 3 when the first deployment is not
possible (a recipe, an artifact, a dependency).
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import platform
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from device_sim.greengrass.arguments import Settings, read
from device_sim.greengrass.artifacts import ArtifactStore
from device_sim.greengrass.bridge import Bridge
from device_sim.greengrass.component_state import State
from device_sim.greengrass.components import Components
from device_sim.greengrass.control import CLI_INFO, ControlServer
from device_sim.greengrass.daemons import Daemon, Daemons
from device_sim.greengrass.deployments import Deployment, Deployments, Detail, Order
from device_sim.greengrass.errors import NucleusError, StartError
from device_sim.greengrass.groups import ProcessGroups
from device_sim.greengrass.identities import CLI, Identity, Tokens
from device_sim.greengrass.journal import Journal, start_logging
from device_sim.greengrass.operations import dispatcher
from device_sim.greengrass.operations.base import Services
from device_sim.greengrass.pubsub import LocalBus
from device_sim.greengrass.recipe import Platform
from device_sim.greengrass.recipe_book import RecipeBook
from device_sim.greengrass.server import IpcServer
from device_sim.greengrass.store import ConfigurationStore
from device_sim.greengrass.supervisor import Supervisor
from device_sim.greengrass.validation import Validators

EXIT_START = 2
EXIT_DEPLOYMENT = 3
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "aarch64", "armv7l": "arm", "armv6l": "arm", "i686": "x86"}
INHERITED = (
    *("HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "LC_ALL", "LC_CTYPE"),
    # pip in an install step needs the proxy settings of the machine
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT"),
    *("PIP_CONFIG_FILE", "PIP_TRUSTED_HOST", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_CACHE_DIR", "XDG_CACHE_HOME"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a nucleus and return the exit code."""
    try:
        settings = read(sys.argv[1:] if argv is None else argv)
        lock = _claim(settings.root)
    except StartError as error:
        sys.stderr.write(f"nucleus: {error}\n")
        return EXIT_START
    with os.fdopen(lock, "w"):
        log = start_logging(settings.root / "logs" / "greengrass.log")
        try:
            return asyncio.run(Nucleus(settings, log).run())
        except StartError as error:
            sys.stderr.write(f"nucleus: {error}\n")
            return EXIT_START


def _claim(root: Path) -> int:
    """Create the root's folders and lock the root against another nucleus; return the descriptor of the lock."""
    try:
        for folder in ("logs", "work", "config", "packages"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        lock = os.open(root / "nucleus.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StartError(f"--root {root}: {error.strerror}: {error.filename}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(lock, 20).decode(errors="replace").strip()
        os.close(lock)
        raise StartError(f"--root {root}: another nucleus runs there (process {owner})") from error
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock


class Nucleus:
    """All parts of one nucleus; created on the event loop."""

    def __init__(self, settings: Settings, log: logging.Logger) -> None:
        self._settings, self._log = settings, log
        self._journal = Journal(sys.stdout, log)
        self._tokens = Tokens()
        here = Platform(platform.system().lower(), ARCHITECTURES.get(platform.machine(), platform.machine()))
        self._book = RecipeBook(settings.profile, here)
        store = ConfigurationStore(settings.root / "config" / "effective.json", log)
        self._bridge = Bridge(settings.thing, settings.endpoint, settings.uplink, self._report_iot_core, log)
        self._groups = ProcessGroups(settings.root / "run", log)
        self._components = Components(
            settings.limits, self._environment, settings.root / "logs", self._groups, self._report_component, log
        )
        validators = Validators()
        self._deployments = Deployments(
            self._book,
            ArtifactStore(settings.root, settings.profile.unzips),
            store,
            self._components,
            validators,
            settings.profile,
            settings.root,
            settings.thing,
            self._report_deployment,
            log,
            settings.validation_seconds,
        )
        bus = LocalBus()
        daemons = self._daemons = Daemons(self._known_daemons(bus, store))
        services = Services(
            settings.profile, bus, self._bridge, store, self._components, self._deployments, validators, daemons
        )
        by_name = self._admit if settings.profile.connects_by_name else None
        self._server = IpcServer(self._tokens, dispatcher(services, log), settings.profile, log, by_name)
        self._control = ControlServer(daemons)
        self._asked_to_end = asyncio.Event()
        self._info = settings.root / CLI_INFO

    def _admit(self, name: object, pid: int | None) -> tuple[Identity, str] | None:
        """Return identity and token of a component that one of its own processes requests by name, or None."""
        supervisor = self._components.get(name) if isinstance(name, str) else None
        if supervisor is None or pid is None or supervisor.pid is None:
            return None
        try:
            member = os.getpgid(pid) == supervisor.pid
        except ProcessLookupError:
            return None
        identity = Identity(supervisor.plan.name)
        return (identity, self._tokens.issue(identity)) if member else None

    def _known_daemons(self, bus: LocalBus, store: ConfigurationStore) -> dict[str, Daemon]:
        """Return the daemons of nucleus lite and the state that each loses at its end; empty for the Java nucleus."""

        async def drop_local_subscriptions() -> None:
            bus.clear()

        async def drop_watches() -> None:
            store.drop_watches()

        async def drop_connections() -> None:
            self._tokens.revoke_components()
            await self._server.close_connections()

        async def reset_failures_of_all() -> None:
            self._components.reset_failures()

        known = {
            "iotcored": Daemon(self._bridge.crash, self._bridge.start),
            "ggpubsubd": Daemon(drop_local_subscriptions),
            "ggconfigd": Daemon(drop_watches),
            "ggipcd": Daemon(drop_connections),
            "gghealthd": Daemon(reset_failures_of_all),
        }
        return {name: known[name] for name in self._settings.profile.daemons}

    async def run(self) -> int:
        """Run until a signal arrives and return the exit code."""
        self._catch_signals()
        self._groups.sweep()
        working: asyncio.Task[None] | None = None
        code = 0
        try:
            await self._server.start(self._settings.root)
            await self._control.start(self._server.path.parent)
            self._write_info()
            await self._bridge.start()
            self._journal.write("nucleus", state="READY", pid=os.getpid(), socket=str(self._server.path))
            working = asyncio.create_task(self._deployments.run(), name="deployments")
            code = await self._first_deployment()
        finally:
            await self._end(working)
        return code

    async def _first_deployment(self) -> int:
        settings = self._settings
        try:
            self._book.add(settings.recipes, settings.artifacts)
        except NucleusError as error:
            raise StartError(str(error)) from error
        ended = asyncio.create_task(self._asked_to_end.wait())
        if settings.deploy:
            first = self._deployments.submit(Order(add=settings.deploy, updates=settings.updates, rollback=False))
            done = asyncio.create_task(first.done.wait())
            await asyncio.wait({ended, done}, return_when=asyncio.FIRST_COMPLETED)
            done.cancel()
            if first.detail is Detail.NO_STATE_CHANGE:
                ended.cancel()
                sys.stderr.write(f"nucleus: {first.cause}\n")
                return EXIT_DEPLOYMENT
        await ended
        return 0

    async def _end(self, working: asyncio.Task[None] | None) -> None:
        if working is not None:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        await self._daemons.end(self._settings.profile.daemons_stopped_first)
        await self._components.stop()
        await self._bridge.stop()
        await self._control.stop()
        await self._server.stop()
        self._info.unlink(missing_ok=True)
        self._journal.write("nucleus", state="ENDED")

    def _catch_signals(self) -> None:
        def on_signal() -> None:
            if self._asked_to_end.is_set():
                self._components.kill()
            self._asked_to_end.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, on_signal)

    def _write_info(self) -> None:
        content = json.dumps(
            {
                "socket": str(self._server.path),
                "token": self._tokens.issue(CLI),
                "control": str(self._control.path),
            }
        )
        try:
            self._info.unlink(missing_ok=True)
            with os.fdopen(os.open(self._info, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(content)
        except OSError as error:
            raise StartError(f"{self._info}: {error.strerror}") from error

    def _environment(self, name: str) -> Mapping[str, str]:
        """Return a component's environment: the variables of Greengrass and those inherited from this machine.

        ``python3`` in a script is the Python that runs this nucleus, so an install step finds its packages.
        """
        settings = self._settings
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {
            **{key: os.environ[key] for key in INHERITED if key in os.environ},
            "PATH": path,
            "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": str(self._server.path),
            "SVCUID": self._tokens.issue(Identity(name)),
            "AWS_IOT_THING_NAME": settings.thing,
            "AWS_REGION": settings.region,
            "AWS_DEFAULT_REGION": settings.region,
            "GGC_VERSION": settings.profile.version,
            "GG_ROOT_CA_PATH": str(settings.endpoint.authority.absolute()) if settings.endpoint else "",
        }

    def _report_component(self, supervisor: Supervisor, old: State, new: State, why: str) -> None:
        self._journal.write(
            "component",
            component=supervisor.plan.name,
            version=supervisor.plan.version,
            state=new,
            was=old,
            reason=why,
            pid=supervisor.pid,
            failures=supervisor.failures,
        )

    def _report_deployment(self, deployment: Deployment) -> None:
        self._journal.write(
            "deployment",
            deployment=deployment.id,
            status=deployment.status,
            detail=deployment.detail,
            reason=deployment.cause,
        )

    def _report_iot_core(self, connected: bool, why: str) -> None:
        self._journal.write("iot_core", connected=connected, reason=why)
