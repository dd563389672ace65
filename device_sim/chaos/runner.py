"""Run of chaos: start the parts, cause faults, drain, report, stop the parts."""

from __future__ import annotations

import contextlib
import sqlite3
import ssl
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from device_sim import clouds
from device_sim.aws.gateways import GatewayCredentials
from device_sim.chaos import disks
from device_sim.chaos.actions import SystemUnderTest
from device_sim.chaos.broker import IN_FLIGHT, PersistentBroker
from device_sim.chaos.certificates import Authority
from device_sim.chaos.clock import ComponentClock
from device_sim.chaos.errors import ChaosError
from device_sim.chaos.faults import Faults
from device_sim.chaos.gateway import AGGREGATOR, COMPONENTS, DETECTOR, FORWARDER, READER, Gateway, Site
from device_sim.chaos.ledger import Drops, Reconciliation, drops_of, reconcile, totals
from device_sim.chaos.numbering import RESOLUTION, Numbering
from device_sim.chaos.progress import NoProgress, Progress
from device_sim.chaos.proof import Proof, prove
from device_sim.chaos.proxy import Line, Network
from device_sim.chaos.report import Cloud, Report
from device_sim.chaos.schedule import Kind, kinds_of, plan
from device_sim.chaos.source import SAVE_MARGIN_SECONDS, DurablePublisher, Source
from device_sim.cloud_kind import CloudKind
from device_sim.greengrass.component_build import Build, Nucleus
from device_sim.greengrass.profile import JAVA
from edge_components.forwarder.spool.schema import LOSS_COUNTERS

GATEWAY = "gw-chaos"
SUBSCRIPTION = "sensors/+/+"
START_SECONDS = 90.0
ACKNOWLEDGE_SECONDS = 30.0
COMPARE_SECONDS = 2.0
SETTLE_SECONDS = 4.0
"""Time for which the proof must hold before the run ends, to detect late duplicates."""

TICK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a run; ``faults`` None means one every 2.3 s, so that most overlap; ``kinds`` None means all."""

    seconds: float = 100.0
    seed: int = 1
    faults: int | None = None
    series: int = 12
    drain_s: float = 120.0
    kinds: tuple[Kind, ...] | None = None
    profile: str = JAVA.name
    cloud: CloudKind = CloudKind.AWS

    @property
    def number(self) -> int:
        """Number of faults."""
        return max(1, int(self.seconds / 2.3)) if self.faults is None else self.faults


def run(
    options: Options,
    root: Path,
    console: Console,
    build: Build,
    before_end: Callable[[], None] = lambda: None,
    progress: Progress | None = None,
) -> Report:
    """Run below ``root`` and return the report; all started parts are stopped after a call of ``before_end``.

    Raises UnprovableError when mosquitto is not installed, ChaosError or another SimulationError when a part fails.
    """
    with contextlib.ExitStack() as stack:
        try:
            return _Run(options, root, stack, console, build, progress or NoProgress()).run()
        finally:
            before_end()


class _Run:
    """State and steps of one run."""

    def __init__(
        self,
        options: Options,
        root: Path,
        stack: contextlib.ExitStack,
        console: Console,
        build: Build,
        progress: Progress,
    ) -> None:
        self._options, self._root, self._stack, self._console = options, root, stack, console
        self._build, self._progress = build, progress
        self._numbering = Numbering()
        self._began = time.monotonic()

    def run(self) -> Report:
        """Run and return the report."""
        options = self._options
        clouds.check(options.cloud)
        kinds = options.kinds or kinds_of((), options.profile, options.cloud)
        planned = plan(options.seed, options.seconds, options.number, kinds)
        system = self._start()
        source = Source(self._publisher, self._numbering, self._options.series)
        faults = Faults(system, self._log)
        self._stack.callback(faults.finish, at_once=True)
        source.start()
        self._stack.callback(source.stop)
        self._log(f"{len(planned)} faults in {self._options.seconds:g} s, seed {self._options.seed}")
        self._progress.start("faults", "faults")
        faults.begin(planned)
        began = time.monotonic()
        while faults.running:
            self._redeploy_broken(source)
            self._progress(faults.ended, len(planned))
            time.sleep(TICK_SECONDS)
        faults_s = time.monotonic() - began
        source.stop()
        self._log(f"the faults are over, {source.number:,} readings were sent; waiting until the cloud has them")
        drain_s = self._drain(source)
        return self._report(faults, source, faults_s, drain_s)

    def _start(self) -> SystemUnderTest:
        root, stack = self._root, self._stack
        self._broker = stack.enter_context(PersistentBroker(root / "broker"))
        profile = self._options.profile
        built = self._build(root / "build", Nucleus(profile))
        self._clock = ComponentClock(root / "clock")
        self._clock.install(built)
        self._receiver = receiver = clouds.start(self._options.cloud, root, GATEWAY, stack)
        self._store = receiver.store
        network = stack.enter_context(Network())
        reader_line = network.proxy(self._broker.host, self._broker.port)
        source_line = network.proxy(self._broker.host, self._broker.port)
        self._cloud_line, credentials = _between(network, receiver.credentials, Authority(root / "authority"))
        self._publisher = stack.enter_context(
            DurablePublisher(source_line.host, source_line.port, self._broker.saved_at)
        )
        gateway_root = root / "gateway"
        settings = self._configuration(reader_line.port)
        settings[FORWARDER] |= receiver.uplink(credentials)
        iot = receiver.of_nucleus(credentials)
        gateway = self._gateway = Gateway(Site(gateway_root, GATEWAY, built, settings, receiver.region, iot, profile))
        self._disk = disks.make(gateway_root / "work" / FORWARDER, lambda values: gateway.configure(FORWARDER, values))
        stack.enter_context(self._disk)
        stack.callback(gateway.stop)
        gateway.start()
        self._log("broker, cloud and nucleus run; waiting for the components")
        gateway.wait_running(START_SECONDS)
        self._wait_for_subscription()
        return SystemUnderTest(
            gateway,
            self._broker,
            self._publisher,
            self._disk,
            self._cloud_line,
            reader_line,
            source_line,
            self._clock,
            receiver.azure,
        )

    def _configuration(self, broker_port: int) -> dict[str, dict[str, object]]:
        """Return the settings of a run that differ from the defaults, so that effects of days occur within minutes."""
        width = self._numbering.width_ms
        return {
            READER: {
                "sources": [
                    {
                        "name": "mqtt",
                        "kind": "mqtt",
                        "port": broker_port,
                        "keepalive_s": 5,
                        "inflight": IN_FLIGHT,
                        "unusable_time": "reject",
                    }
                ],
                "retry_s": 2,
                "series": {"chaos.*": {"unit": "1", "resolution": RESOLUTION}},
            },
            # Readings that the broker loses are resent a few seconds later, while their windows must be open.
            AGGREGATOR: {"window_ms": width, "allowed_lateness_ms": 6000, "idle_timeout_ms": 10_000, "retry_s": 1},
            DETECTOR: {"calibration_windows": 20},
            FORWARDER: {
                "batch_max_age_s": 2.0,
                "retry_first_s": 1.0,
                "retry_longest_s": 6.0,
                "backfill_per_s": 20.0,
                "notice_interval_s": 5.0,
                "disk_keep_free_bytes": disks.KEEP_FREE_BYTES,
                "merge_max_window_s": 4 * width // 1000,
            },
        }

    def _wait_for_subscription(self) -> None:
        """Wait until the broker has saved the reader's subscription; earlier publishes are not delivered.

        The broker acknowledges a subscription before it saves it.
        """
        deadline = time.monotonic() + START_SECONDS
        subscribed_at: float | None = None
        while subscribed_at is None or self._broker.saved_at() < subscribed_at + SAVE_MARGIN_SECONDS:
            if time.monotonic() > deadline:
                raise ChaosError(f"the sensor reader has not subscribed; see {self._root / 'gateway/logs'}")
            time.sleep(TICK_SECONDS)
            if subscribed_at is None and self._broker.has_subscriber(SUBSCRIPTION):
                subscribed_at = time.time()

    def _redeploy_broken(self, source: Source) -> None:
        source.check()
        if not self._gateway.alive:
            raise ChaosError(f"the nucleus has ended by itself; see {self._root / 'gateway/logs'}")
        for name in self._gateway.redeploy_broken():
            self._log(f"{name} was BROKEN and is deployed again by hand")

    def _drain(self, source: Source) -> float:
        """Wait until the broker has every reading and the cloud every row."""
        began = time.monotonic()
        while self._publisher.waiting():
            if time.monotonic() - began > ACKNOWLEDGE_SECONDS:
                raise ChaosError(f"the broker has not acknowledged {self._publisher.waiting()} readings; see its log")
            time.sleep(TICK_SECONDS)
        settled: float | None = None
        compared = 0.0
        draining = False
        while time.monotonic() - began < self._options.drain_s:
            self._redeploy_broken(source)
            source.send_idle()
            time.sleep(TICK_SECONDS)
            if time.monotonic() - compared < COMPARE_SECONDS:
                continue
            compared = time.monotonic()
            proof, result, _ = self._compare_with_cloud(source)
            stored = proof.readings_sent - result.lost
            if not draining:
                draining = True
                self._progress.start("drain", "readings", stored)
            self._progress(stored, proof.readings_sent)
            if result.lost or proof.unexplained or self._gateway.settings_not_applied():
                settled = None
            elif settled is None:
                settled = compared
            elif compared - settled >= SETTLE_SECONDS:
                break
        return time.monotonic() - began

    def _compare_with_cloud(self, source: Source) -> tuple[Proof, Reconciliation, Drops]:
        stored = self._store.aggregates(GATEWAY)
        proof = prove(source.sent(), stored, self._numbering)
        counters = {name.rsplit(".", 1)[-1]: totals(self._gateway.log_lines(name)) for name in COMPONENTS}
        drops = drops_of(counters, self._losses_reported(), 4)
        return proof, reconcile(proof, drops, self._numbering.width_ms), drops

    def _losses_reported(self) -> dict[str, int]:
        """Return the losses of the spool as last reported to the cloud."""
        counters = self._store.about(GATEWAY).get("counters", {}).get("Spool", {})
        return {str(name): int(count) for name, count in counters.items()}

    def _report(self, faults: Faults, source: Source, faults_s: float, drain_s: float) -> Report:
        proof, result, drops = self._compare_with_cloud(source)
        receipts = self._store.batches(GATEWAY)
        self._gateway.stop()
        losses = _losses(self._gateway.work(FORWARDER) / disks.SPOOL)
        return Report(
            seed=self._options.seed,
            faults_s=faults_s,
            drain_s=drain_s,
            done=faults.finish(),
            proof=proof,
            reconciliation=result,
            drops=drops,
            cloud=Cloud(
                batches=len(receipts),
                repeated=int(self._store.about(GATEWAY).get("duplicates", 0)),
                dead_letters=self._receiver.dead_letters(),
                epochs=len({receipt.epoch for receipt in receipts}),
            ),
            redeployed=self._gateway.redeployed,
            orphans=self._gateway.orphans,
            republished=self._publisher.republished,
            acknowledgement_faults={str(kind): number for kind, number in self._cloud_line.applied.items()},
            spool_losses_reported=losses == self._losses_reported(),
            settings_not_applied=tuple(self._gateway.settings_not_applied()),
            profile=self._options.profile,
            disk=self._disk.how,
            clock=self._clock.how,
        )

    def _log(self, text: str) -> None:
        self._progress.clear()
        self._console.print(
            f"{time.monotonic() - self._began:6.1f} s  {text}", highlight=False, markup=False, soft_wrap=True
        )


def _between(
    network: Network, credentials: GatewayCredentials, authority: Authority
) -> tuple[Line, GatewayCredentials]:
    """Start a proxy between gateway and cloud; return it and the credentials to connect to it."""
    pair = authority.server()
    serve = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serve.load_cert_chain(pair.cert, pair.key)
    connect = ssl.create_default_context(cafile=credentials.ca)
    connect.load_cert_chain(credentials.cert, credentials.key)
    line = network.proxy(credentials.host, credentials.port, serve=serve, connect=connect)
    return line, replace(credentials, host=line.host, port=line.port, ca=authority.ca)


def _losses(spool: Path) -> dict[str, int]:
    """Return the losses in a spool that is not in use, by counter name."""
    with contextlib.closing(sqlite3.connect(spool)) as db:
        found = db.execute("SELECT reason, number FROM losses")
        return {LOSS_COUNTERS.get(reason, reason): number for reason, number in found}


def make_root(folder: Path) -> Path:
    """Return a new folder for a run."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="chaos-", dir=folder)).resolve()
    except OSError as error:
        raise ChaosError(f"{folder}: {error.strerror}") from error
