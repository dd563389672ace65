"""Checks of the Greengrass nucleus and of AWS credentials."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from strandline.doctor.findings import Finding, Level
from strandline.doctor.machine import Run, run_program
from strandline.extras import extra_command

OLDEST_LITE = (2, 0, 0)
_VERSION = re.compile(r"\d+\.\d+\.\d+")


def check_nucleus(root: Path = Path("/"), run: Run = run_program) -> Iterator[Finding]:
    """Check type and version of an installed nucleus."""
    found = False
    package = run(("dpkg-query", "--show", "--showformat=${Version}", "aws-greengrass-lite"))
    if package or (root / "etc/greengrass/config.yaml").exists():
        found = True
        yield Finding("nucleus", Level.OK, f"nucleus lite {package or 'of unknown version'}")
        active = run(("systemctl", "is-active", "greengrass-lite.target"))
        if active != "active":
            mend = "sudo systemctl enable --now greengrass-lite.target; journalctl -u ggdeploymentd"
            yield Finding("nucleus", Level.WARNING, "nucleus lite does not run", mend)
    java = root / "greengrass/v2"
    if java.exists():
        found = True
        version = _java_version(java)
        yield Finding("nucleus", Level.OK, f"Java nucleus {version or 'of unknown version'} in {java}")
        if run(("systemctl", "is-active", "greengrass")) != "active":
            mend = "sudo systemctl enable --now greengrass; sudo tail /greengrass/v2/logs/greengrass.log"
            yield Finding("nucleus", Level.WARNING, "the Java nucleus does not run", mend)
    if not found:
        mend = "docs/gateway.md; not needed for demo, up, detect, train"
        yield Finding("nucleus", Level.INFO, "no Greengrass nucleus is installed here", mend)


def _java_version(java: Path) -> str:
    try:
        text = (java / "alts/current/distro/conf/recipe.yaml").read_text()
    except OSError:
        return ""
    match = _VERSION.search(text[text.find("ComponentVersion") :] if "ComponentVersion" in text else "")
    return match[0] if match else ""


@dataclass(frozen=True, slots=True)
class Aws:
    """Configuration of the AWS SDK: the source of the credentials and the region, empty without one."""

    credentials: str
    region: str


def read_aws() -> Aws | None:
    """Return the configuration of the AWS SDK, None where it is not installed or cannot read its files."""
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
    except ModuleNotFoundError:
        return None
    try:
        session = boto3.Session()
        credentials = session.get_credentials()
    except BotoCoreError:
        return Aws("", "")
    return Aws(credentials.method if credentials is not None else "", session.region_name or "")


def check_aws(read: Callable[[], Aws | None] = read_aws) -> Iterator[Finding]:
    """Check that the AWS SDK finds credentials and a region; nothing is sent to AWS."""
    found = read()
    if found is None:
        yield Finding("AWS", Level.INFO, "the AWS SDK is not installed", extra_command("cloud"))
        return
    if found.credentials:
        yield Finding("AWS credentials", Level.OK, f"found ({found.credentials})")
    else:
        mend = "aws configure sso, or export AWS_PROFILE=NAME; not needed for demo, up, detect, train"
        yield Finding("AWS credentials", Level.INFO, "none", mend)
    if found.region:
        yield Finding("AWS region", Level.OK, found.region)
    else:
        yield Finding("AWS region", Level.INFO, "none", "export AWS_DEFAULT_REGION=eu-central-1")
