"""The Bicep file, the function app and the handlers agree."""

from __future__ import annotations

import json
import re
import tomllib

import pytest

from cloud_functions.core.channels import ChannelType
from tests.conftest import HERE

REPO = HERE.parent
FOLDER = REPO / "cloud_functions" / "azure"
BICEP = (FOLDER / "main.bicep").read_text()
APP = (FOLDER / "function_app.py").read_text()


@pytest.mark.slow
def test_the_deployment_creates_the_tables_containers_and_queues_of_the_functions() -> None:
    handlers = pytest.importorskip("cloud_functions.adapters.azure.handlers", exc_type=ImportError)
    assert set(re.findall(r"'tables' = \{name: '([\w-]+)'\}", BICEP)) == set(handlers.TABLES)
    data = BICEP[: BICEP.index("resource runtime ")]
    assert set(re.findall(r"'containers' = \{name: '([\w-]+)'\}", data)) == set(handlers.CONTAINERS)
    (channels,) = re.findall(r"var channels = \[(.*)\]", BICEP)
    assert set(re.findall(r"'(\w+)'", channels)) == {str(kind) for kind in ChannelType}
    assert set(handlers.QUEUES) == {"retry", "changes", *(f"channel-{kind}" for kind in ChannelType)}
    assert "concat(['retry', 'changes']" in BICEP


def test_the_app_has_the_settings_that_it_reads() -> None:
    set_by_bicep = set(re.findall(r"\{name: '(\w+)', value", BICEP))
    read = set(re.findall(r'settings\.text\("(\w+)"\)', APP)) | {"IOTHUB_EVENTS_NAME", "IOTHUB_EVENTS"}
    assert read <= set_by_bicep
    assert set(re.findall(r'settings\.optional\("(\w+)"\)', APP)) - {"WEBSITE_AUTH_ENABLED"} <= set_by_bicep
    connections = set(re.findall(r'connection="(\w+)"', APP))
    assert connections <= set_by_bicep | {name.removesuffix("__accountName") for name in set_by_bicep}


def test_the_identity_of_the_app_has_roles_of_data_only() -> None:
    assert set(re.findall(r"for role in \[(.*)\]: \{", BICEP)) == {
        "blobContributor, queueContributor, tableContributor",
        "blobOwner, queueContributor, tableContributor",
    }
    assert BICEP.count("Microsoft.Authorization/roleAssignments@") == 5
    assert BICEP.count("allowSharedKeyAccess: false") == 2
    assert BICEP.count("allowBlobPublicAccess: false") == 2
    assert re.findall(r"rights: '(\w+)'", BICEP) == ["ServiceConnect"]


def test_the_host_reads_plain_messages_and_ends_functions_in_the_time_that_they_know() -> None:
    host = json.loads((FOLDER / "host.json").read_text())
    assert host["extensions"]["queues"]["messageEncoding"] == "none"
    handlers = pytest.importorskip("cloud_functions.adapters.azure.handlers", exc_type=ImportError)
    assert host["functionTimeout"] == "00:05:00"
    assert handlers.TIMEOUT_MS == 300_000


def test_every_queue_of_deliveries_has_a_function() -> None:
    assert set(re.findall(r'queue_name="([\w-]+)"', APP)) == {
        "retry",
        "changes",
        *(f"channel-{kind}" for kind in ChannelType),
    }


def test_the_api_needs_the_authentication_of_the_app_and_its_functions_have_one_thread() -> None:
    assert "requireAuthentication: true, unauthenticatedClientAction: 'Return401'" in BICEP
    assert "{name: 'PYTHON_THREADPOOL_THREAD_COUNT', value: '1'}" in BICEP
    assert json.loads((FOLDER / "host.json").read_text())["extensions"]["http"]["routePrefix"] == ""


def test_the_requirements_are_those_of_the_project() -> None:
    lines = [line for line in (FOLDER / "requirements.txt").read_text().splitlines() if line[0] != "#"]
    extras = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras["azure"]) <= set(lines)
    assert {re.split("[<>=]", line)[0] for line in lines} - {re.split("[<>=]", one)[0] for one in extras["azure"]} == {
        "numpy",
        "pyarrow",
    }
