"""A local AWS account on loopback with the deployed stack."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
import yaml
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from device_sim.aws import gateways, process
from device_sim.aws.errors import CloudSimError, DeployError
from device_sim.aws.gateways import GatewayCredentials
from device_sim.aws.package import stage_functions, zip_folder
from device_sim.aws.timer import Timer
from device_sim.paths import SOURCE_TREE

STACK = "strandline"
_BUCKET = "strandline-artifacts"
_DEPLOY_S = 60.0
_GRADUAL, _AT_ONCE = "Enabled: !Ref GradualDeployment", 'Enabled: "false"'
"""The emulator does not have CodeDeploy, and transforms the template with the defaults of the parameters."""
_CONCURRENCY = 2
"""Lowest concurrency that AWS allows for a queue; each invocation is a Python process on this machine."""


class _Template(yaml.SafeLoader):
    """Loader of templates that gives the value of a short form of a function."""


def _short_form(loader: yaml.SafeLoader, _tag: str, node: yaml.Node) -> Any:
    return loader.construct_sequence(node, True) if isinstance(node, yaml.SequenceNode) else node.value


_Template.add_multi_constructor("!", _short_form)


class LocalCloud:
    """A running local cloud; a context manager that stops it.

    ``endpoint_url`` and ``region`` serve any AWS SDK, ``mqtt_host`` and ``mqtt_port`` any MQTT client with a gateway's
    certificate, ``outputs`` are the stack's.
    """

    def __init__(self, root: Path, emulator: process.Emulator) -> None:
        self._root, self._emulator = root, emulator
        self._clients: dict[str, Any] = {}
        self._timer: Timer | None = None
        self.endpoint_url, self.region = emulator.url, process.REGION
        self.mqtt_host, self.mqtt_port = "127.0.0.1", emulator.mqtt_port
        self.outputs: dict[str, str] = {}

    @classmethod
    def start(
        cls,
        root: Path,
        *,
        http_port: int | None = None,
        mqtt_port: int | None = None,
        parameters: dict[str, str] | None = None,
        watch_every_s: float | None = None,
        repo: Path = SOURCE_TREE,
    ) -> Self:
        """Start the emulator below ``root``, deploy the template with ``parameters``, and return when it is ready.

        ``watch_every_s`` runs the timer of alerts more often than the schedule, which runs it each minute.

        Raises PortTakenError, StartError or DeployError (see device_sim.aws.errors); nothing is left running then.
        """
        root = root.resolve()
        cloud = cls(root, process.start(root, http_port, mqtt_port))
        try:
            cloud._deploy(repo, parameters or {})
            cloud._narrow_queues()
            cloud._allow_plain_http()
            cloud._allow_origins(repo, (parameters or {}).get("CorsOrigins", ""))
            if watch_every_s is not None:
                cloud._timer = Timer(cloud._client_of("lambda"), cloud.outputs["WatchFunctionName"], watch_every_s)
        except BaseException:
            cloud.stop()
            raise
        return cloud

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that direct AWS tools (the CLI, an SDK) to this account."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self._emulator.access_key,
            "AWS_SECRET_ACCESS_KEY": self._emulator.secret_key,
        }

    def client(self, service: str) -> Any:
        """Return a boto3 client of the account's root; the same one each time."""
        if service not in self._clients:
            self._clients[service] = self._client_of(service)
        return self._clients[service]

    def _client_of(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint_url,
            region_name=self.region,
            aws_access_key_id=self._emulator.access_key,
            aws_secret_access_key=self._emulator.secret_key,
            config=Config(retries={"mode": "standard"}, connect_timeout=5, read_timeout=60, proxies={}),
        )

    def provision_gateway(self, name: str) -> GatewayCredentials:
        """Create a gateway with its own certificate, allowed to publish and subscribe under its own name only."""
        folder = self._root / "gateways" / name.replace(":", "%3A")
        cert, key = gateways.provision(self.client("iot"), name, self.outputs["GatewayPolicyName"], folder)
        return GatewayCredentials(name, self.mqtt_host, self.mqtt_port, cert, key, self.ca)

    def call_api(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        signed: bool = True,
        token: str | None = None,
        content_type: str = "application/json",
    ) -> tuple[int, Any]:
        """Call the stack's HTTP api as the account's root, or with a token; return status and decoded JSON.

        ``path`` begins with a slash and is quoted. A body that is not bytes is sent as JSON. An unsigned call has no
        credentials.
        """
        url = f"{self.endpoint_url}/_aws/execute-api/{self.outputs['ApiId']}{path}"
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = AWSRequest(method, url, {"content-type": content_type}, data)
        if token is not None:
            request.headers["authorization"] = f"Bearer {token}"
        elif signed:
            credentials = Credentials(self._emulator.access_key, self._emulator.secret_key)
            SigV4Auth(credentials, "execute-api", self.region).add_auth(request)
        http = urllib.request.Request(url, data, dict(request.headers), method=method)  # noqa: S310 - loopback
        try:
            with process.DIRECT.open(http, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
            try:
                return error.code, json.loads(text)
            except ValueError:
                return error.code, text

    def compact(self) -> int:
        """Invoke the compaction as its schedule does; return the number of tasks that it planned."""
        function = self.outputs["CompactionFunctionName"]
        answer = self.client("lambda").invoke(FunctionName=function, Payload=b"{}")
        payload = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise CloudSimError(f"the compaction failed: {payload}")
        return int(payload["tasks"])

    def watch(self) -> None:
        """Invoke the watch function as its schedule does: each minute, here whenever it is called."""
        answer = self.client("lambda").invoke(FunctionName=self.outputs["WatchFunctionName"], Payload=b"{}")
        if "FunctionError" in answer:
            raise CloudSimError(f"watch failed: {answer['Payload'].read()[:500]!r}")

    @property
    def pid(self) -> int:
        """The emulator's process, which leads a group of its own."""
        return self._emulator.process.pid

    @property
    def ca(self) -> Path:
        """The file of the certificate authority that the broker's certificate is signed by."""
        return self._root / "ca.pem"

    def stop(self) -> None:
        """End the emulator and its Lambda workers; safe to call again."""
        if self._timer is not None:
            self._timer.stop()
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        self._emulator.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _deploy(self, repo: Path, parameters: dict[str, str]) -> None:
        """Deploy like `sam deploy`: upload the packages, refer to them in the template, create the stack."""
        s3, stacks = self.client("s3"), self.client("cloudformation")
        s3.create_bucket(Bucket=_BUCKET)
        packages = stage_functions(repo, self._root / "lambda")
        for function, folder in packages.items():
            package = zip_folder(folder, folder.with_suffix(".zip"))
            s3.put_object(Bucket=_BUCKET, Key=f"{function}.zip", Body=package.read_bytes())
        template = (repo / "cloud_functions" / "template.yaml").read_text()
        before = re.compile(r"CodeUri: \.\./build/lambda/(\w+)\n")
        if sorted(before.findall(template)) != sorted(packages):
            raise DeployError(f"template.yaml: expected 'CodeUri: ../build/lambda/NAME' of {', '.join(packages)}")
        if template.count(_GRADUAL) != 1:
            raise DeployError(f"template.yaml: expected one line '{_GRADUAL}'")
        placed = before.sub(rf"CodeUri: s3://{_BUCKET}/\1.zip\n", template).replace(_GRADUAL, _AT_ONCE)
        s3.put_object(Bucket=_BUCKET, Key="template.yaml", Body=placed.encode())
        stacks.create_stack(
            StackName=STACK,
            # The request itself takes templates of at most 51,200 bytes.
            TemplateURL=f"https://s3.amazonaws.com/{_BUCKET}/template.yaml",
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        self.outputs = self._wait_for_stack(stacks)
        self.ca.write_bytes(self._emulator.authority())

    def _allow_plain_http(self) -> None:
        """Remove the policy by which the archive's bucket refuses requests without TLS: the emulator has no TLS."""
        self.client("s3").delete_bucket_policy(Bucket=self.outputs["ArchiveBucketName"])

    def _allow_origins(self, repo: Path, origins: str) -> None:
        """Set the template's CORS configuration by the service's API: the emulator ignores that of a template."""
        if not origins:
            return
        template = yaml.load((repo / "cloud_functions" / "template.yaml").read_text(), _Template)  # noqa: S506 - safe
        _, configuration, _ = template["Resources"]["Api"]["Properties"]["CorsConfiguration"]
        configuration["AllowOrigins"] = origins.split(",")
        self.client("apigatewayv2").update_api(ApiId=self.outputs["ApiId"], CorsConfiguration=configuration)

    def _narrow_queues(self) -> None:
        functions = self.client("lambda")
        for name in ("Ingest", "Notify"):
            mappings = functions.list_event_source_mappings(FunctionName=self.outputs[f"{name}FunctionName"])
            for mapping in mappings["EventSourceMappings"]:
                if ":sqs:" not in mapping["EventSourceArn"]:
                    continue
                functions.update_event_source_mapping(
                    UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": _CONCURRENCY}
                )

    def _wait_for_stack(self, stacks: Any) -> dict[str, str]:
        deadline = time.monotonic() + _DEPLOY_S
        while time.monotonic() < deadline:
            try:
                stack = stacks.describe_stacks(StackName=STACK)["Stacks"][0]
            except ClientError as error:
                raise DeployError(f"stack {STACK}: {error}") from error
            if stack["StackStatus"] == "CREATE_COMPLETE":
                return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
            if stack["StackStatus"] != "CREATE_IN_PROGRESS":
                raise DeployError(f"stack {STACK}: {stack['StackStatus']}: {self._failures(stacks)}")
            time.sleep(0.05)
        raise DeployError(f"stack {STACK}: not created in {_DEPLOY_S:.0f} s")

    def _failures(self, stacks: Any) -> str:
        pages = stacks.get_paginator("describe_stack_events").paginate(StackName=STACK)
        failed = [e for page in pages for e in page["StackEvents"] if e["ResourceStatus"].endswith("FAILED")]
        return "; ".join(f"{e['LogicalResourceId']}: {e.get('ResourceStatusReason', '')}" for e in failed)[:2000]
