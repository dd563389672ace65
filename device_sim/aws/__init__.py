"""The local AWS: starts an emulator as a child process and deploys cloud_functions/template.yaml to it as it is.

``local.LocalCloud`` is the entry point; ``store.CloudStore`` reads the stored data, ``cost`` estimates the AWS charges.
"""

from device_sim.aws.errors import CloudSimError, PortTakenError, StartError
from device_sim.aws.gateways import GatewayCredentials
from device_sim.aws.local import LocalCloud
from device_sim.aws.store import BatchReceipt, CloudStore

__all__ = [
    "BatchReceipt",
    "CloudSimError",
    "CloudStore",
    "GatewayCredentials",
    "LocalCloud",
    "PortTakenError",
    "StartError",
]
