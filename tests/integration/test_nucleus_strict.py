"""Tests that the local nucleus is as strict as the real ones: real processes, the AWS SDK, by profile."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from awsiot.greengrasscoreipc import model

from device_sim.greengrass.errors import DaemonError
from device_sim.greengrass.process import NucleusProcess, NucleusProcessError
from tests.integration.nucleus_site import PUBSUB, Listener, Site
from tests.waiting import until

CORE = "aws.greengrass.ipc.mqttproxy"
PROXY = {**PUBSUB, CORE: {"p": {"operations": ["*"], "resources": ["strandline/v1/+/ack", "+/up"]}}}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@contextlib.contextmanager
def running(site: Site, profile: str, ready: int = 1, **more: Any) -> Iterator[tuple[NucleusProcess, Listener]]:
    """Yield a nucleus whose components have reported ready ``ready`` times, and a listener on local topics."""
    add, site.deploy = dict(site.deploy), {}
    with (
        site.start(profile=profile, **more) as nucleus,
        contextlib.closing(Listener(nucleus, "test/#")) as listener,
    ):
        listener.client.create_local_deployment(root_component_versions_to_add=add)
        until(lambda: len(listener.on("test/ready")) >= ready, "the component is ready")
        yield nucleus, listener


def send(listener: Listener, text: str, topic: str = "test/send") -> None:
    message = model.PublishMessage(binary_message=model.BinaryMessage(message=text.encode()))
    listener.client.publish_to_topic(topic=topic, publish_message=message)


def state(nucleus: NucleusProcess, component: str) -> str | None:
    return nucleus.states().get(component)


SUBSCRIBES = """
client.subscribe_to_topic(topic="test/send", on_stream_event=lambda event: send("test/answer", "here"))

def attempt():
    began = time.monotonic()
    try:
        client.subscribe_to_iot_core(topic_name="strandline/v1/gw-test/ack", qos="1", on_stream_event=print)
        send("test/outcome", "subscribed")
    except Exception as error:
        send("test/outcome", f"{type(error).__name__} {error.message} {time.monotonic() - began < 2}")

threading.Thread(target=attempt, daemon=True).start()
send("test/ready", "")
stay()
"""


def test_java_does_not_answer_a_subscription_while_offline_and_other_operations_work(site: Site) -> None:
    site.component("io.test.Subscribes", SUBSCRIBES, access=PROXY)
    with running(site, "java") as (_, listener):
        for number in range(1, 4):
            send(listener, "are you there")
            until(lambda: len(listener.on("test/answer")) == number, "it answers")  # noqa: B023 # called at once
        assert listener.on("test/outcome") == []


def test_lite_fails_a_subscription_while_offline_at_once_with_an_error_without_a_text(site: Site) -> None:
    site.component("io.test.Subscribes", SUBSCRIBES, access=PROXY)
    with running(site, "lite") as (_, listener):
        until(lambda: bool(listener.on("test/outcome")), "an answer")
        assert listener.on("test/outcome") == ["ServiceError None True"]


@pytest.mark.parametrize("profile", ["java", "lite"])
def test_the_things_variable_in_access_control_is_literal(site: Site, profile: str) -> None:
    resources = ["strandline/v1/{iot:thingName}/ack"]
    access = {**PUBSUB, CORE: {"p": {"operations": ["*"], "resources": resources}}}
    site.component("io.test.Subscribes", SUBSCRIBES, access=access)
    with running(site, profile) as (_, listener):
        until(lambda: bool(listener.on("test/outcome")), "an answer")
        assert listener.on("test/outcome")[0].startswith("UnauthorizedError")


def kill(nucleus: NucleusProcess, component: str) -> None:
    pid = nucleus.component_pid(component)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def needing(site: Site, kind: str | None) -> None:
    """Add a component io.test.Top that depends on io.test.Base in this way."""
    dependency = {"VersionRequirement": "*", **({} if kind is None else {"DependencyType": kind})}
    site.recipe("io.test.Base", {"run": "exec sleep 1000"})
    site.recipe("io.test.Top", {"run": "exec sleep 1000"}, dependencies={"io.test.Base": dependency})


def times_running(nucleus: NucleusProcess, component: str) -> int:
    return sum(line.get("component") == component and line["state"] == "RUNNING" for line in nucleus.lines)


def test_on_lite_a_crash_of_a_hard_dependency_stops_its_dependant_until_a_deployment(site: Site) -> None:
    needing(site, "HARD")
    with site.start(profile="lite") as nucleus, contextlib.closing(Listener(nucleus, "test/#")) as listener:
        nucleus.wait_running(30)
        kill(nucleus, "io.test.Base")
        until(lambda: times_running(nucleus, "io.test.Base") == 2, "the dependency is back")
        assert state(nucleus, "io.test.Top") == "FINISHED"
        assert times_running(nucleus, "io.test.Top") == 1
        listener.client.create_local_deployment()
        until(lambda: state(nucleus, "io.test.Top") == "RUNNING", "the deployment starts it")


@pytest.mark.parametrize("kind", ["SOFT", None])
def test_on_lite_a_crash_of_another_dependency_has_no_effect(site: Site, kind: str | None) -> None:
    needing(site, kind)
    with site.start(profile="lite") as nucleus:
        nucleus.wait_running(30)
        kill(nucleus, "io.test.Base")
        until(lambda: times_running(nucleus, "io.test.Base") == 2, "the dependency is back")
        assert times_running(nucleus, "io.test.Top") == 1
        assert state(nucleus, "io.test.Top") == "RUNNING"


def test_on_java_a_dependant_restarts_with_its_hard_dependency(site: Site) -> None:
    needing(site, None)
    with site.start(profile="java") as nucleus:
        nucleus.wait_running(30)
        kill(nucleus, "io.test.Base")
        until(lambda: times_running(nucleus, "io.test.Top") == 2, "the dependant is back")


def test_a_hard_dependency_without_a_run_step_is_rejected_on_lite_only(site: Site) -> None:
    site.recipe("io.test.Base", {"install": "true"})
    hard = {"VersionRequirement": "*", "DependencyType": "HARD"}
    site.recipe("io.test.Top", {"run": "exec sleep 1000"}, dependencies={"io.test.Base": hard})
    rejection = pytest.raises(
        NucleusProcessError, match=r"its HARD dependency io\.test\.Base has neither run nor startup"
    )
    with rejection, site.start(profile="lite") as nucleus:
        nucleus.wait_running(30)
    with site.start(profile="java") as nucleus:
        nucleus.wait_running(30)


def test_lite_starts_no_component_before_all_are_installed(site: Site) -> None:
    ready = "{kernel:rootPath}/work/io.test.Slow/ready"
    site.recipe("io.test.Slow", {"install": "sleep 1; touch ready", "run": "exec sleep 1000"})
    site.recipe("io.test.Fast", {"run": f"test -e {ready} && exec sleep 1000"})
    with site.start(profile="lite") as nucleus:
        nucleus.wait_running(30)
        assert times_running(nucleus, "io.test.Fast") == 1


@pytest.mark.parametrize("profile", ["java", "lite"])
def test_the_third_kill_within_an_hour_is_final_until_a_deployment(site: Site, profile: str) -> None:
    site.recipe("io.test.Killed", {"run": "exec sleep 1000"})
    with site.start(profile=profile) as nucleus, contextlib.closing(Listener(nucleus, "test/#")) as listener:
        for number in range(1, 4):
            until(lambda: times_running(nucleus, "io.test.Killed") == number, "it runs")  # noqa: B023
            kill(nucleus, "io.test.Killed")
        until(lambda: state(nucleus, "io.test.Killed") == "BROKEN", "it is BROKEN")
        if profile == "java":
            listener.client.restart_component(component_name="io.test.Killed")
            assert state(nucleus, "io.test.Killed") == "BROKEN"
        listener.client.create_local_deployment()
        until(lambda: times_running(nucleus, "io.test.Killed") == 4, "the deployment starts it again")


REJECTS = """
limit = str(client.get_configuration(key_path=["limit"]).value["limit"])
if int(limit) > 10:
    sys.exit(78)
client.subscribe_to_configuration_update(key_path=[], on_stream_event=lambda event: send("test/changed", "yes"))
send("test/ready", limit)
stay()
"""


def test_lite_stores_a_configuration_that_the_component_rejects(site: Site) -> None:
    site.component("io.test.Rejects", REJECTS, configuration={"limit": 1})
    with running(site, "lite") as (nucleus, listener):
        update = {"io.test.Rejects": {"MERGE": {"limit": 99}}}
        listener.client.create_local_deployment(component_to_configuration=update)
        until(lambda: bool(listener.on("test/changed")), "the component is notified")
        until(
            lambda: (
                [line.get("status") for line in nucleus.lines if line["type"] == "deployment"].count("SUCCEEDED") == 2
            ),
            "the deployment succeeds",
        )
        listener.client.restart_component(component_name="io.test.Rejects")
        until(lambda: state(nucleus, "io.test.Rejects") == "BROKEN", "three starts read it")
        last = [line for line in nucleus.lines if line.get("component") == "io.test.Rejects"][-1]
        assert "failed 3 times" in last["reason"]
        assert "exit code 78" in last["reason"]


LISTENS = """
def received(event):
    send("test/answer", event.binary_message.message.decode())

def changed(event):
    send("test/changed", "/".join(event.configuration_update_event.key_path))

client.subscribe_to_topic(topic="test/send", on_stream_event=received)
client.subscribe_to_configuration_update(key_path=[], on_stream_event=changed)
send("test/ready", "")
number = 0
while True:
    number += 1
    send("test/alive", str(number))
    time.sleep(0.1)
"""


def alive_on(listener: Listener) -> None:
    """Wait until the component publishes on: no stream and no connection of it was closed."""
    reported = len(listener.on("test/alive"))
    until(lambda: len(listener.on("test/alive")) >= reported + 3, "it continues to publish")


def listen_again(nucleus: NucleusProcess) -> Listener:
    return Listener(nucleus, "test/#")


def test_a_restart_of_ggpubsubd_ends_local_subscriptions_in_silence(site: Site) -> None:
    site.component("io.test.Listens", LISTENS, configuration={"limit": 1})
    with running(site, "lite") as (nucleus, listener):
        send(listener, "before")
        until(lambda: listener.on("test/answer") == ["before"], "the component receives")
        nucleus.restart_daemon("ggpubsubd")
        with contextlib.closing(listen_again(nucleus)) as fresh:
            alive_on(fresh)
            send(fresh, "after")
            alive_on(fresh)
            assert fresh.on("test/answer") == []
            # Configuration updates are another daemon's.
            update = {"io.test.Listens": {"MERGE": {"limit": 2}}}
            fresh.client.create_local_deployment(component_to_configuration=update)
            until(lambda: fresh.on("test/changed") == ["limit"], "the update arrives")
        assert times_running(nucleus, "io.test.Listens") == 1


def test_a_restart_of_ggconfigd_ends_configuration_subscriptions_in_silence(site: Site) -> None:
    site.component("io.test.Listens", LISTENS, configuration={"limit": 1})
    with running(site, "lite") as (nucleus, listener):
        nucleus.restart_daemon("ggconfigd")
        update = {"io.test.Listens": {"MERGE": {"limit": 2}}}
        listener.client.create_local_deployment(component_to_configuration=update)
        until(
            lambda: (
                [line.get("status") for line in nucleus.lines if line["type"] == "deployment"].count("SUCCEEDED") == 2
            ),
            "the update succeeds",
        )
        send(listener, "still there")
        until(lambda: listener.on("test/answer") == ["still there"], "local messages arrive")
        assert listener.on("test/changed") == []
        value = listener.client.get_configuration(component_name="io.test.Listens", key_path=["limit"]).value
        assert value == {"limit": 2}


def test_a_restart_of_ggipcd_closes_connections_and_invalidates_tokens(site: Site) -> None:
    code = """
    send("test/ready", "")
    from awsiot.greengrasscoreipc import connect
    while True:
        try:
            send("test/alive", "")
        except Exception:
            try:
                connect(timeout=5)
                open("let-in", "w").close()
            except Exception:
                open("refused", "w").close()
            sys.exit(1)
        time.sleep(0.05)
    """
    site.component("io.test.Reconnects", code)
    with running(site, "lite") as (nucleus, _):
        nucleus.restart_daemon("ggipcd")
        with contextlib.closing(listen_again(nucleus)) as fresh:
            until(lambda: bool(fresh.on("test/alive")), "the new process publishes")
        work = nucleus.root / "work" / "io.test.Reconnects"
        assert (work / "refused").exists()
        assert not (work / "let-in").exists()
        assert times_running(nucleus, "io.test.Reconnects") == 2


BY_NAME = """
import json
from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup, SocketDomain, SocketOptions
from awsiot import eventstreamrpc as rpc
import os

def admitted(name):
    options = SocketOptions()
    options.domain = SocketDomain.Local
    group = EventLoopGroup(1)
    connection = rpc.Connection(
        host_name=os.environ["AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"], port=0,
        bootstrap=ClientBootstrap(group, DefaultHostResolver(group)), socket_options=options,
        connect_message_amender=lambda: rpc.MessageAmendment(payload=json.dumps({"componentName": name}).encode()))
    try:
        connection.connect(rpc.LifecycleHandler()).result(5)
        return "admitted"
    except Exception:
        return "refused"

send("test/outcome", " ".join(admitted(name) for name in ("io.test.Named", "io.test.Other", "io.test.Absent")))
send("test/ready", "")
stay()
"""


@pytest.mark.parametrize(("profile", "own"), [("lite", "admitted"), ("java", "refused")])
def test_a_component_connects_by_its_own_name_on_lite_only(site: Site, profile: str, own: str) -> None:
    site.recipe("io.test.Other", {"run": "exec sleep 1000"})
    site.component("io.test.Named", BY_NAME)
    with running(site, profile) as (_, listener):
        assert listener.on("test/outcome") == [f"{own} refused refused"]


def test_the_java_nucleus_has_no_daemons(site: Site) -> None:
    with site.start() as nucleus, pytest.raises(DaemonError, match="the Java nucleus is one process"):
        nucleus.restart_daemon("iotcored")


def test_a_stop_signals_every_process_of_the_component(site: Site) -> None:
    child = "trap 'echo child ended; exit' TERM; echo up; while :; do sleep 0.05; done"
    site.recipe("io.test.Parent", {"run": f"({child}) & trap 'echo parent ended; wait; exit' TERM; wait"})
    with site.start(profile="java") as nucleus:
        nucleus.wait_running(30)
        until(lambda: "up" in nucleus.log("io.test.Parent").read_text(), "the child runs")
        log = nucleus.log("io.test.Parent")
    assert {"child ended", "parent ended"} <= set(log.read_text().splitlines())


@pytest.mark.parametrize(("profile", "outcome"), [("java", "answered"), ("lite", "no answer")])
def test_while_lite_stops_a_component_gets_no_answer_to_a_publication(site: Site, profile: str, outcome: str) -> None:
    code = """
    import concurrent.futures, os, signal
    send("test/ready", "")
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    while not asked.wait(0.05):
        pass
    message = model.PublishMessage(binary_message=model.BinaryMessage(message=b"last"))
    try:
        client.publish_to_topic_async(topic="test/last", publish_message=message).result(1)
        print("answered")
    except concurrent.futures.TimeoutError:
        print("no answer")
    sys.stdout.flush()
    os._exit(0)
    """
    site.component("io.test.Last", code)
    with running(site, profile) as (nucleus, _):
        log = nucleus.log("io.test.Last")
        nucleus.stop()
    assert outcome in log.read_text().splitlines()
