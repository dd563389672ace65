"""Creation of the link that the configuration key ``uplink`` names."""

from __future__ import annotations

from edge_components.common.lifecycle import Runtime
from edge_components.forwarder.cloud_link.greengrass import GreengrassLink
from edge_components.forwarder.cloud_link.port import CloudLink
from edge_components.forwarder.config import Config


class Links:
    """Creation of the configured link; the subscription of the nucleus is opened once and shared."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self._greengrass = runtime, GreengrassLink(runtime.bus, runtime.gateway)

    def open(self, config: Config) -> CloudLink:
        """Return the link of a configuration, not started."""
        if config.uplink == "greengrass":
            self._greengrass.rules = config.cloud_rules
            return self._greengrass
        # Imported on demand: the MQTT library needs memory.
        from edge_components.forwarder.cloud_link.mqtt import open_mqtt

        return open_mqtt(config.mqtt, self._runtime)
