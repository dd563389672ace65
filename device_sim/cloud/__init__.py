"""The local AWS: starts an emulator as a child process and deploys cloud_functions/template.yaml to it as it is.

``local.LocalCloud`` is the way in; ``store.CloudStore`` reads what the cloud has, ``cost`` says what AWS would charge.
"""

from device_sim.cloud.errors import CloudSimError, PortTakenError, StartError
from device_sim.cloud.gateways import GatewayCredentials
from device_sim.cloud.local import LocalCloud
from device_sim.cloud.store import BatchReceipt, CloudStore

__all__ = [
    "BatchReceipt",
    "CloudSimError",
    "CloudStore",
    "GatewayCredentials",
    "LocalCloud",
    "PortTakenError",
    "StartError",
]
