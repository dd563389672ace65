"""Publication of the components: artifacts in S3, and a component version of each in AWS IoT Greengrass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from device_sim.greengrass.component_build import Built, BuiltComponent
from strandline.aws.steps import Step, explain
from strandline.errors import AccountError, CommandError

PLACEHOLDER = "s3://strandline-artifacts/"
"""Location of the artifacts in the recipes of the source tree."""
_WAIT_S, _POLL_S = 120.0, 2.0


def key_of(component: BuiltComponent) -> str:
    """Return the key of a component's artifact in the bucket."""
    return f"{component.name}/{component.version}/{component.artifact.name}"


def recipe_of(component: BuiltComponent, bucket: str) -> str:
    """Return a component's recipe with its artifact in the bucket; raises CommandError for a recipe without one."""
    text = component.recipe.read_text()
    wanted = f"{PLACEHOLDER}{key_of(component)}"
    if wanted not in text:
        raise CommandError(f"{component.recipe}: it has no artifact {wanted}")
    return text.replace(PLACEHOLDER, f"s3://{bucket}/")


def shell(built: Built, bucket: str, recipes: Path) -> Iterator[str]:
    """Yield the commands that publish the components, with recipes from the folder ``recipes``."""
    for component in built.components:
        target = f"s3://{bucket}/{key_of(component)}"
        yield f"aws s3 cp {component.artifact} {target} --metadata sha256={component.sha256}"
        yield (f"aws greengrassv2 create-component-version --inline-recipe fileb://{recipes / component.recipe.name}")


def publish(
    built: Built,
    bucket: str,
    client: Callable[[str], Any],
    report: Callable[[str], None],
    sleep: Callable[[float], None],
) -> dict[str, str]:
    """Upload the artifacts and create the component versions that do not exist; return the ARN of each by name.

    A component version cannot be changed, so an artifact with other content under the same version is an AccountError:
    raise the version. Repeating the command does nothing that is done.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    found = {}
    for component in built.components:
        try:
            _upload(component, bucket, client("s3"), report)
            found[component.name] = _create(component, bucket, client("greengrassv2"), report, sleep)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            step = Step("", _service(error), _snake(error.operation_name), {})
            raise AccountError(f"{component.name} {component.version}: {explain(step, code, str(error))}") from error
        except BotoCoreError as error:
            raise AccountError(f"{component.name} {component.version}: {error}") from error
    return found


def _upload(component: BuiltComponent, bucket: str, s3: Any, report: Callable[[str], None]) -> None:
    from botocore.exceptions import ClientError

    key = key_of(component)
    try:
        there = s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if str(error.response.get("Error", {}).get("Code")) not in ("404", "NoSuchKey", "NotFound"):
            raise
        s3.put_object(
            Bucket=bucket, Key=key, Body=component.artifact.read_bytes(), Metadata={"sha256": component.sha256}
        )
        report(f"s3://{bucket}/{key}: uploaded, {component.size:,} B")
        return
    if there.get("Metadata", {}).get("sha256") != component.sha256:
        raise AccountError(
            f"s3://{bucket}/{key} has other content: a published version cannot be changed, raise ComponentVersion "
            f"in {component.recipe.name}"
        )
    report(f"s3://{bucket}/{key}: exists")


def _create(
    component: BuiltComponent,
    bucket: str,
    greengrass: Any,
    report: Callable[[str], None],
    sleep: Callable[[float], None],
) -> str:
    from botocore.exceptions import ClientError

    recipe = recipe_of(component, bucket).encode()
    try:
        arn = str(greengrass.create_component_version(inlineRecipe=recipe)["arn"])
    except ClientError as error:
        if str(error.response.get("Error", {}).get("Code")) != "ConflictException":
            raise
        report(f"{component.name} {component.version}: exists")
        return ""
    waited = 0.0
    while True:
        status = greengrass.describe_component(arn=arn)["status"]
        if status["componentState"] == "DEPLOYABLE":
            report(f"{component.name} {component.version}: created")
            return arn
        if status["componentState"] in ("FAILED", "DEPRECATED"):
            details = status.get("errors") or status.get("message", "")
            raise AccountError(f"{component.name} {component.version}: {status['componentState']}: {details}")
        if waited >= _WAIT_S:
            raise AccountError(f"{component.name} {component.version}: not deployable after {_WAIT_S:g} s")
        sleep(_POLL_S)
        waited += _POLL_S


def _service(error: Any) -> str:
    return "s3" if error.operation_name in ("HeadObject", "PutObject") else "greengrass"


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
