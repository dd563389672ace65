"""Small test components for the local nucleus: a recipe and a zip from a few lines of Python."""

from __future__ import annotations

import json
import textwrap
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from awsiot.greengrasscoreipc import connect
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from device_sim.greengrass.process import NucleusProcess

PUBSUB = {
    "aws.greengrass.ipc.pubsub": {
        "all": {
            "operations": ["aws.greengrass#PublishToTopic", "aws.greengrass#SubscribeToTopic"],
            "resources": ["test/*"],
        }
    }
}
HEADER = """
import sys, threading, time
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

client = GreengrassCoreIPCClientV2()

def send(topic, text):
    message = model.PublishMessage(binary_message=model.BinaryMessage(message=text.encode()))
    client.publish_to_topic(topic=topic, publish_message=message)

def stay():
    threading.Event().wait()

"""


class Site:
    """Folders in the layout of a local deployment that a test fills with components."""

    def __init__(self, folder: Path) -> None:
        self.recipes, self.artifacts, self.root = folder / "recipes", folder / "artifacts", folder / "gg"
        self.recipes.mkdir()
        self.artifacts.mkdir()
        self.deploy: dict[str, str] = {}

    def component(self, name: str, code: str, version: str = "1.0.0", root: bool = True, **more: Any) -> None:
        """Add a component that runs ``code`` after HEADER, as a zip and unpacked beside it."""
        folder = self.artifacts / name / version
        (folder / "code").mkdir(parents=True)
        program = HEADER + textwrap.dedent(code)
        (folder / "code" / "main.py").write_text(program)
        with zipfile.ZipFile(folder / "code.zip", "w") as archive:
            archive.writestr("main.py", program)
        # Java unpacks the archive; nucleus lite copies the folder as it is.
        java, lite = "{artifacts:decompressedPath}/code/main.py", "{artifacts:path}/code/main.py"
        run = f"if test -e {java}; then exec python3 -u {java}; else exec python3 -u {lite}; fi"
        artifacts = [{"Uri": f"s3://bucket/{name}/{version}/code.zip", "Unarchive": "ZIP"}]
        self.recipe(name, {"run": {"Script": run}}, version, root, Artifacts=artifacts, **more)

    def recipe(
        self,
        name: str,
        lifecycle: Mapping[str, Any],
        version: str = "1.0.0",
        root: bool = True,
        *,
        configuration: Mapping[str, Any] | None = None,
        access: Mapping[str, Any] | None = None,
        dependencies: Mapping[str, Any] | None = None,
        **manifest: Any,
    ) -> None:
        """Add a recipe with a lifecycle of shell scripts; YAML reads JSON too."""
        access = PUBSUB if access is None else access
        recipe = {
            "RecipeFormatVersion": "2020-01-25",
            "ComponentName": name,
            "ComponentVersion": version,
            "ComponentConfiguration": {
                "DefaultConfiguration": {**(configuration or {}), "accessControl": access},
            },
            "ComponentDependencies": dependencies or {},
            "Manifests": [{"Platform": {"os": "linux", "runtime": "*"}, "Lifecycle": lifecycle, **manifest}],
        }
        (self.recipes / f"{name}-{version}.yaml").write_text(json.dumps(recipe))
        if root:
            self.deploy[name] = version

    def start(self, **more: Any) -> NucleusProcess:
        """Start a nucleus that deploys every component added."""
        more.setdefault("options", ("--stop-seconds", "3", "--restart-pause", "0.05"))
        return NucleusProcess.start(self.root, "gw-test", self.recipes, self.artifacts, self.deploy, **more)


class Listener:
    """Keeps what arrives on local topics, as a client of the command line."""

    def __init__(self, nucleus: NucleusProcess, pattern: str) -> None:
        info = json.loads(nucleus.cli_info.read_text())
        connection = connect(ipc_socket=info["socket"], authtoken=info["token"])
        # Without an executor the events come on the SDK's own thread, in their order.
        self.client = GreengrassCoreIPCClientV2(client=connection, executor=None)
        self.received: list[tuple[str, str]] = []
        _, self._operation = self.client.subscribe_to_topic(topic=pattern, on_stream_event=self._keep)

    def _keep(self, event: Any) -> None:
        if (message := event.binary_message) is not None:
            self.received.append((message.context.topic, (message.message or b"").decode()))

    def on(self, topic: str) -> list[str]:
        """Return the messages received on a topic."""
        return [text for where, text in list(self.received) if where == topic]

    def close(self) -> None:
        """Disconnect, also when the nucleus has ended first."""
        self.client.close().exception(5)
