"""Tests of the local nucleus with components that use the real, unmodified awsiotsdk."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from awsiot.greengrasscoreipc import connect, model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from device_sim.greengrass.process import NucleusProcess, NucleusProcessError
from tests.integration.nucleus_site import Listener, Site
from tests.waiting import until


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def listening() -> Iterator[Any]:
    with contextlib.ExitStack() as stack:

        def listen(nucleus: NucleusProcess, pattern: str = "test/#") -> Listener:
            listener = Listener(nucleus, pattern)
            stack.callback(listener.close)
            return listener

        yield listen


def deploy(client: Any, nucleus: NucleusProcess, **order: Any) -> model.LocalDeployment:
    """Deploy and return how it went."""
    identifier = client.create_local_deployment(**order).deployment_id

    def ended(_: NucleusProcess) -> bool:
        return any(
            line["type"] == "deployment" and line["deployment"] == identifier and line["detail"]
            for line in nucleus.lines
        )

    nucleus.wait_for(ended, 20, f"deployment {identifier} ended")
    return client.get_local_deployment_status(deployment_id=identifier).deployment


def group_is_empty(group: int) -> bool:
    """Return whether a process group has no process other than zombies."""
    for process in psutil.process_iter(["status"]):
        with contextlib.suppress(ProcessLookupError, psutil.Error):
            if os.getpgid(process.pid) == group and process.info["status"] != psutil.STATUS_ZOMBIE:
                return False
    return True


ECHO = """
def received(event):
    send("test/answer", event.binary_message.message.decode() + "!")

client.subscribe_to_topic(topic="test/question", on_stream_event=received)
send("test/ready", "")
stay()
"""


@pytest.mark.parametrize("profile", ["java", "lite"])
def test_two_components_exchange_messages(site: Site, listening: Any, profile: str) -> None:
    site.component("io.test.Echo", ECHO)
    asks = 'for number in range(20): send("test/question", str(number))\nstay()'
    site.component("io.test.Asks", asks, dependencies={"io.test.Echo": {"VersionRequirement": "^1.0.0"}})
    site.deploy.clear()
    with site.start(profile=profile) as nucleus:
        listener = listening(nucleus)
        deploy(listener.client, nucleus, root_component_versions_to_add={"io.test.Echo": "1.0.0"})
        until(lambda: bool(listener.on("test/ready")), "the echo listens")
        deploy(listener.client, nucleus, root_component_versions_to_add={"io.test.Asks": "1.0.0"})
        until(lambda: len(listener.on("test/answer")) == 20, "twenty answers")
        assert listener.on("test/question") == [str(number) for number in range(20)]
        assert sorted(listener.on("test/answer")) == sorted(f"{number}!" for number in range(20))
        assert stat.S_IMODE((site.root / "cli_ipc_info.json").stat().st_mode) == 0o600
        assert stat.S_IMODE((site.root / "ipc.socket").stat().st_mode) == 0o600


def test_a_component_can_exclude_its_own_messages(site: Site, listening: Any) -> None:
    code = """
    mode = model.ReceiveMode.RECEIVE_MESSAGES_FROM_OTHERS
    client.subscribe_to_topic(
        topic="test/+/x", receive_mode=mode, on_stream_event=lambda e: send("test/got", e.json_message.message["from"])
    )
    own = model.PublishMessage(json_message=model.JsonMessage(message={"from": "itself"}))
    client.publish_to_topic(topic="test/a/x", publish_message=own)
    send("test/ready", "")
    stay()
    """
    site.component("io.test.Hears", code)
    site.deploy.clear()
    with site.start() as nucleus:
        listener = listening(nucleus)
        deploy(listener.client, nucleus, root_component_versions_to_add={"io.test.Hears": "1.0.0"})
        until(lambda: bool(listener.on("test/ready")), "the component is ready")
        message = model.PublishMessage(json_message=model.JsonMessage(message={"from": "another"}))
        listener.client.publish_to_topic(topic="test/b/x", publish_message=message)
        until(lambda: bool(listener.on("test/got")), "the other's message")
        assert listener.on("test/got") == ["another"]


def test_operations_that_the_recipe_does_not_allow_are_unauthorized(site: Site, listening: Any) -> None:
    code = """
    for attempt in (
        lambda: send("secret/topic", "x"),
        lambda: client.subscribe_to_topic(topic="test/#/x", on_stream_event=print),
        lambda: client.subscribe_to_topic(topic="#", on_stream_event=print),
        lambda: client.publish_to_iot_core(topic_name="other/t", qos="1", payload=b"x"),
        lambda: client.publish_to_iot_core(topic_name="gw-test/t", qos="1", payload=b"x"),
        lambda: client.list_components(),
        lambda: client.put_component_metric(metrics=[]),
    ):
        try:
            attempt()
            outcome = "allowed"
        except Exception as error:
            outcome = type(error).__name__
        send("test/outcome", outcome)
    stay()
    """
    proxy = {"operations": ["aws.greengrass#PublishToIoTCore"], "resources": ["gw-test/+"]}
    pubsub = {"operations": ["*"], "resources": ["test/*"]}
    access = {"aws.greengrass.ipc.mqttproxy": {"p": proxy}, "aws.greengrass.ipc.pubsub": {"p": pubsub}}
    site.component("io.test.Tries", code, access=access)
    site.deploy.clear()
    with site.start() as nucleus:
        listener = listening(nucleus)
        deploy(listener.client, nucleus, root_component_versions_to_add={"io.test.Tries": "1.0.0"})
        until(lambda: len(listener.on("test/outcome")) == 7, "seven attempts")
        assert listener.on("test/outcome") == [
            "UnauthorizedError",
            "InvalidArgumentsError",
            "UnauthorizedError",
            "UnauthorizedError",
            "allowed",
            "UnauthorizedError",
            "ServiceError",
        ]
        with pytest.raises(model.UnauthorizedError):
            listener.client.publish_to_iot_core(topic_name="gw-test/t", qos="1", payload=b"x")


CONFIGURED = """
def changed(event):
    send("test/changed", "/".join(event.configuration_update_event.key_path))

client.subscribe_to_configuration_update(key_path=[], on_stream_event=changed)
value = client.get_configuration(key_path=["nested", "limit"]).value
send("test/limit", repr(value))
send("test/whole", repr(client.get_configuration(key_path=["nested"]).value))
send("test/other", repr(client.get_configuration(component_name="io.test.Other", key_path=["mine"]).value))
try:
    client.get_configuration(key_path=["absent"])
except model.ResourceNotFoundError as error:
    send("test/absent", str(error.resource_name))
import datetime
now = datetime.datetime.now(datetime.timezone.utc)
client.update_configuration(key_path=["nested"], timestamp=now, value_to_merge={"limit": 7, "fresh": [1]})
send("test/limit", repr(client.get_configuration(key_path=["nested", "limit"]).value))
for late in (dict(key_path=["nested"], timestamp=now - datetime.timedelta(days=1), value_to_merge={"limit": 8}),
             dict(key_path=["nested", "limit"], timestamp=now, value_to_merge={"x": 8}),
             dict(key_path=[], timestamp=now, value_to_merge={"accessControl": {}})):
    try:
        client.update_configuration(**late)
    except Exception as error:
        send("test/refused", type(error).__name__)
send("test/limit", repr(client.get_configuration(key_path=["nested", "limit"]).value))
stay()
"""


@pytest.mark.parametrize("profile", ["java", "lite"])
def test_a_configuration_is_read_changed_and_watched(site: Site, listening: Any, profile: str) -> None:
    site.recipe("io.test.Other", {"run": "exec sleep 1000"}, configuration={"mine": True})
    # JSON text in a YAML file: nucleus lite keeps the text of its scalars.
    configuration = {"nested": {"limit": 5, "kept": 1.5}}
    site.component(
        "io.test.Configured",
        CONFIGURED,
        configuration=configuration,
        dependencies={"io.test.Other": {"VersionRequirement": "*", "DependencyType": "SOFT"}},
    )
    site.deploy.clear()
    with site.start(profile=profile) as nucleus:
        listener = listening(nucleus)
        deploy(listener.client, nucleus, root_component_versions_to_add={"io.test.Configured": "1.0.0"})
        until(lambda: len(listener.on("test/limit")) == 3, "the component has sent everything")
        first = "{'limit': 5}" if profile == "java" else "{'limit': '5'}"
        assert listener.on("test/limit") == [first, "{'limit': 7}", "{'limit': 7}"]
        kept = "1.5" if profile == "java" else "'1.5'"
        assert f"'kept': {kept}" in listener.on("test/whole")[0]
        assert listener.on("test/other") == ["{'mine': True}" if profile == "java" else "{'mine': 'true'}"]
        # Nucleus lite names no resource, and takes an older value without storing it.
        assert listener.on("test/absent") == ["/absent" if profile == "java" else "None"]
        java = ["FailedUpdateConditionCheckError", "InvalidArgumentsError", "InvalidArgumentsError"]
        lite = ["ServiceError", "InvalidArgumentsError"]
        assert listener.on("test/refused") == (java if profile == "java" else lite)
        until(lambda: len(listener.on("test/changed")) == 2, "two changes")
        assert set(listener.on("test/changed")) == {"nested/limit", "nested/fresh"}


VALIDATES = """
def asked(event):
    wanted = event.validate_configuration_update_event
    good = wanted.configuration["limit"] < 10
    status = model.ConfigurationValidityStatus
    report = model.ConfigurationValidityReport(
        status=status.ACCEPTED if good else status.REJECTED,
        deployment_id=wanted.deployment_id,
        message=None if good else "limit must be below 10",
    )
    if wanted.configuration["limit"] != 3:
        client.send_configuration_validity_report(configuration_validity_report=report)

try:
    client.subscribe_to_validate_configuration_updates(on_stream_event=asked)
    send("test/ready", "validates")
except model.ServiceError as error:
    send("test/ready", "cannot")
stay()
"""


def test_a_deployment_that_a_component_rejects_changes_nothing(site: Site, listening: Any) -> None:
    site.component("io.test.Validates", VALIDATES, configuration={"limit": 1})
    name = "io.test.Validates"
    add, site.deploy = dict(site.deploy), {}
    with site.start(options=("--validation-seconds", "0.5")) as nucleus:
        client = (listener := listening(nucleus)).client
        deploy(client, nucleus, root_component_versions_to_add=add)
        until(lambda: listener.on("test/ready") == ["validates"], "the component validates")

        def change(limit: int) -> model.LocalDeployment:
            return deploy(client, nucleus, component_to_configuration={name: {"MERGE": {"limit": limit}}})

        assert change(2).status == "SUCCEEDED"
        rejected = change(99)
        assert rejected.status == "FAILED"
        assert "limit must be below 10" in rejected.deployment_status_details.deployment_failure_cause
        silent = change(3)
        assert "did not validate" in silent.deployment_status_details.deployment_failure_cause
        assert client.get_configuration(component_name=name, key_path=["limit"]).value == {"limit": 2}
        reset = deploy(client, nucleus, component_to_configuration={name: {"RESET": ["/limit"]}})
        assert reset.status == "SUCCEEDED"
        assert client.get_configuration(component_name=name, key_path=["limit"]).value == {"limit": 1}
        states = [line["state"] for line in nucleus.lines if line.get("component") == name]
        assert states == ["INSTALLED", "STARTING", "RUNNING"]


def test_nucleus_lite_has_no_validation(site: Site, listening: Any) -> None:
    site.component("io.test.Validates", VALIDATES, configuration={"limit": 1})
    add, site.deploy = dict(site.deploy), {}
    with site.start(profile="lite") as nucleus:
        listener = listening(nucleus)
        deploy(listener.client, nucleus, root_component_versions_to_add=add)
        until(lambda: listener.on("test/ready") == ["cannot"], "the component received the error")


def test_nucleus_lite_closes_the_connection_on_a_packet_over_ten_thousand_bytes(site: Site) -> None:
    with site.start(profile="lite") as nucleus:
        client = nucleus.connect()

        def publish(size: int) -> None:
            message = model.PublishMessage(binary_message=model.BinaryMessage(message=bytes(size)))
            client.publish_to_topic(topic="strandline/local/readings", publish_message=message)

        publish(7_200)
        with pytest.raises(Exception, match=r"^(?!.*Error:).*") as caught:
            publish(7_400)
        assert not isinstance(caught.value, model.GreengrassCoreIPCError)
        with pytest.raises(RuntimeError):
            publish(10)
        client.close()


def test_a_wrong_token_is_rejected_by_every_operation(site: Site) -> None:
    with site.start() as nucleus:
        path = json.loads(nucleus.cli_info.read_text())["socket"]
        with pytest.raises(Exception, match="AccessDenied"):
            connect(ipc_socket=path, authtoken="0" * 32, timeout=5)


@pytest.mark.parametrize("profile", ["java", "lite"])
def test_garbage_on_the_socket_closes_that_connection_only(site: Site, profile: str) -> None:
    with site.start(profile=profile) as nucleus:
        info = json.loads(nucleus.cli_info.read_text())
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(5)
            raw.connect(info["socket"])
            raw.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            while raw.recv(4096):
                pass
        client = nucleus.connect()
        assert client.list_components().components == []
        client.close()


def test_a_component_that_fails_is_started_three_times_then_broken(site: Site, listening: Any) -> None:
    site.recipe("io.test.Fails", {"run": "echo once more; exit 7"})
    site.recipe(
        "io.test.Waits", {"run": "exec sleep 1000"}, dependencies={"io.test.Fails": {"VersionRequirement": "*"}}
    )
    with site.start() as nucleus:
        with pytest.raises(NucleusProcessError, match=r"io\.test\.Fails BROKEN"):
            nucleus.wait_running(20)
        assert nucleus.log("io.test.Fails").read_text() == "once more\n" * 3
        lines = [line for line in nucleus.lines if line.get("component") == "io.test.Fails"]
        assert [line["state"] for line in lines].count("ERRORED") == 3
        assert "exit code 7" in lines[-1]["reason"]
        until(lambda: any("io.test.Fails is BROKEN" in trouble for trouble in nucleus.new_failures()), "it is reported")
        client = listening(nucleus).client

        def found() -> dict[str, str]:
            return {one.component_name: one.state for one in client.list_components().components}

        until(lambda: found() == {"io.test.Fails": "BROKEN", "io.test.Waits": "INSTALLED"}, "one waits for the other")


def test_a_deployment_that_breaks_a_component_is_rolled_back(site: Site, listening: Any) -> None:
    run = {"run": {"Script": "exec sleep {configuration:/seconds}"}}
    site.recipe("io.test.Sleeps", run, configuration={"seconds": "1000"})
    with site.start() as nucleus:
        nucleus.wait_running(20)
        client = listening(nucleus).client
        broken = deploy(
            client, nucleus, component_to_configuration={"io.test.Sleeps": {"MERGE": {"seconds": "nonsense"}}}
        )
        assert broken.status == "FAILED"
        assert broken.deployment_status_details.detailed_deployment_status == "FAILED_ROLLBACK_COMPLETE"
        details = client.get_component_details(component_name="io.test.Sleeps").component_details
        assert (details.state, details.configuration["seconds"]) == ("RUNNING", "1000")


def test_a_component_that_never_answers_is_given_up(site: Site) -> None:
    install = {"Script": "sleep 1000", "Timeout": 0.2}
    site.recipe("io.test.Hangs", {"install": install, "run": "exec sleep 1000"})
    with site.start() as nucleus, pytest.raises(NucleusProcessError, match=r"install took longer than 0\.2 s"):
        nucleus.wait_running(20)


def test_startup_and_shutdown_run_and_a_state_can_be_reported(site: Site) -> None:
    code = 'client.update_state(state="RUNNING")\nstay()'
    site.component("io.test.Reports", code)
    recipe = site.recipes / "io.test.Reports-1.0.0.yaml"
    recipe.write_text(recipe.read_text().replace('"run"', '"shutdown": "echo bye", "startup"'))
    with site.start() as nucleus:
        nucleus.wait_running(20)
        running = next(line for line in nucleus.lines if line.get("state") == "RUNNING")
        assert running["reason"] == "it reported RUNNING"
        assert nucleus.stop() == 0
        assert nucleus.log("io.test.Reports").read_text().endswith("bye\n")


def test_dependencies_start_first_stop_last_and_take_their_dependents_with_them(site: Site) -> None:
    site.recipe("io.test.Base", {"run": "exec sleep 1000"}, root=False)
    site.recipe("io.test.Top", {"run": "exec sleep 1000"}, dependencies={"io.test.Base": {"VersionRequirement": "*"}})
    with site.start() as nucleus:
        nucleus.wait_running(20)
        assert [line["component"] for line in nucleus.lines if line.get("state") == "RUNNING"] == [
            "io.test.Base",
            "io.test.Top",
        ]
        base = nucleus.component_pid("io.test.Base")
        assert base is not None
        os.killpg(base, signal.SIGKILL)

        def all_again(one: NucleusProcess) -> bool:
            return [line["component"] for line in one.lines if line.get("state") == "RUNNING"][2:] == [
                "io.test.Base",
                "io.test.Top",
            ]

        nucleus.wait_for(all_again, 10, "both run again")
        nucleus.stop()
        stopped = [line["component"] for line in nucleus.lines if line.get("was") == "STOPPING"]
        assert stopped[-2:] == ["io.test.Top", "io.test.Base"]


def test_nothing_is_left_after_sigterm(site: Site) -> None:
    # Children in the background, one of which ignores SIGTERM.
    site.recipe("io.test.Forks", {"run": "sleep 1000 & (trap '' TERM; sleep 1001; sleep 1002) & exec sleep 1003"})
    with site.start(options=("--stop-seconds", "0.3")) as nucleus:
        nucleus.wait_running(20)
        group = nucleus.component_pid("io.test.Forks")
        assert group is not None
        assert not group_is_empty(group)
        assert nucleus.stop() == 0
        assert group_is_empty(group)
    assert not (site.root / "ipc.socket").exists()
    assert not nucleus.cli_info.exists()


def test_a_killed_nucleus_leaves_nothing_for_the_next_one(site: Site) -> None:
    site.recipe("io.test.Sleeps", {"run": "exec sleep 1000"})
    first = site.start()
    first.wait_running(20)
    group = first.component_pid("io.test.Sleeps")
    assert group is not None
    os.kill(first.pid, signal.SIGKILL)
    first.stop()
    with site.start() as second:
        second.wait_running(20)
        until(lambda: group_is_empty(group), "the old process group has ended")
        assert second.component_pid("io.test.Sleeps") != group


def test_configuration_is_kept_when_the_nucleus_ends(site: Site, listening: Any) -> None:
    site.recipe("io.test.Sleeps", {"run": "exec sleep 1000"}, configuration={"limit": 1, "other": 2})
    with site.start(merge={"io.test.Sleeps": {"limit": 5}}) as nucleus:
        nucleus.wait_running(20)
    with site.start() as nucleus:
        nucleus.wait_running(20)
        values = listening(nucleus).client.get_configuration(component_name="io.test.Sleeps", key_path=[]).value
        assert (values["limit"], values["other"]) == (5, 2)


def test_a_dependency_cycle_is_named(site: Site) -> None:
    for name, other in (("A", "B"), ("B", "C"), ("C", "A")):
        needs = {f"io.test.{other}": {"VersionRequirement": "*"}}
        site.recipe(f"io.test.{name}", {"run": "true"}, dependencies=needs)
    cycle = r"io\.test\.A -> io\.test\.B -> io\.test\.C -> io\.test\.A"
    with site.start() as nucleus:
        with pytest.raises(NucleusProcessError, match=cycle) as caught:
            nucleus.wait_running(20)
        assert "exit code 3" in str(caught.value)


def test_two_nuclei_cannot_share_a_root(site: Site) -> None:
    with site.start() as nucleus:
        with pytest.raises(NucleusProcessError, match=f"another nucleus runs there .process {nucleus.pid}"):
            site.start()
        assert nucleus.alive


def test_a_root_that_cannot_be_written_is_named(site: Site) -> None:
    site.root.mkdir()
    (site.root / "logs").write_text("a file, where a folder must be")
    with pytest.raises(NucleusProcessError, match=r"--root .*: File exists: .*/logs"):
        site.start()


def test_a_root_whose_path_is_too_long_for_a_socket_works(site: Site) -> None:
    site.root = site.root / ("long" * 30)
    site.recipe("io.test.Sleeps", {"run": "exec sleep 1000"})
    with site.start() as nucleus:
        nucleus.wait_running(20)
        folder = Path(json.loads(nucleus.cli_info.read_text())["socket"]).parent
        client: GreengrassCoreIPCClientV2 = nucleus.connect()
        assert [one.state for one in client.list_components().components] == ["RUNNING"]
        client.close()
    assert not folder.exists()


def test_a_component_is_stopped_and_started_again_on_request(site: Site, listening: Any) -> None:
    site.recipe("io.test.Sleeps", {"run": "exec sleep 1000"})
    with site.start() as nucleus:
        nucleus.wait_running(20)
        client = listening(nucleus).client
        client.stop_component(component_name="io.test.Sleeps")
        nucleus.wait_for(lambda one: one.states()["io.test.Sleeps"] == "FINISHED", 10, "stopped")
        client.restart_component(component_name="io.test.Sleeps")
        nucleus.wait_for(lambda one: one.states()["io.test.Sleeps"] == "RUNNING", 10, "running")
        with pytest.raises(model.ResourceNotFoundError):
            client.restart_component(component_name="io.test.Absent")
        removed = deploy(client, nucleus, root_components_to_remove=["io.test.Sleeps"])
        assert removed.status == "SUCCEEDED"
        assert client.list_components().components == []


def test_a_new_version_is_installed_and_keeps_the_configuration(site: Site, listening: Any) -> None:
    script = "echo installed {configuration:/limit}"
    site.recipe("io.test.Grows", {"install": script, "run": "exec sleep 1000"}, configuration={"limit": 1})
    with site.start(merge={"io.test.Grows": {"limit": 5}}) as nucleus:
        nucleus.wait_running(20)
        lifecycle = {"install": f"{script} again", "run": "exec sleep 1000"}
        site.recipe("io.test.Grows", lifecycle, "1.1.0", configuration={"limit": 2, "fresh": 3})
        client = listening(nucleus).client
        done = deploy(
            client,
            nucleus,
            recipe_directory_path=str(site.recipes),
            artifacts_directory_path=str(site.artifacts),
            root_component_versions_to_add={"io.test.Grows": "1.1.0"},
        )
        assert done.status == "SUCCEEDED", done
        details = client.get_component_details(component_name="io.test.Grows").component_details
        assert (details.version, details.configuration["limit"], details.configuration["fresh"]) == ("1.1.0", 5, 3)
        assert nucleus.log("io.test.Grows").read_text() == "installed 5\ninstalled 5 again\n"
