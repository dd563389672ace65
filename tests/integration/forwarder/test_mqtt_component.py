"""Test of the forwarder as a component of a nucleus whose uplink is a broker, on both nuclei."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from awsiot.greengrasscoreipc import model

from device_sim.simulation.sensor_broker import find_mosquitto
from tests.integration.forwarder.test_mqtt_link import GATEWAY, SENDER, Cloud, aggregates
from tests.integration.nucleus_site import Listener, Site
from tests.integration.test_mqtt_source import mosquitto
from tests.waiting import until
from wire import codec, topics
from wire.model import Batch

ROOT = Path(__file__).parents[3]
NAME = "io.strandline.Forwarder"

pytestmark = pytest.mark.skipif(
    find_mosquitto() is None, reason="mosquitto is not installed (apt-get install mosquitto)"
)


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["lite", "java"])
def test_a_component_of_a_nucleus_sends_its_batches_to_the_broker(tmp_path: Path, profile: str) -> None:
    recipe = yaml.safe_load((ROOT / "recipes" / f"{NAME}.yaml").read_text())
    configuration: dict[str, Any] = recipe["ComponentConfiguration"]["DefaultConfiguration"]
    access = configuration.pop("accessControl")
    script = f"exec env PYTHONPATH={ROOT} {sys.executable} -m edge_components.forwarder.main"
    with mosquitto(tmp_path / "broker", "allow_anonymous true") as port:
        broker = {"host": "127.0.0.1", "port": port, "tls": False}
        configuration |= {"uplink": "mqtt", "mqtt": broker, "batch_max_age_s": 0.1}
        site = Site(tmp_path)
        site.recipe(NAME, {"run": {"Script": script}}, configuration=configuration, access=access)
        cloud = Cloud(port)
        nucleus = site.start(profile=profile)
        listener = Listener(nucleus, topics.SCORED_ACK)
        try:
            payload = codec.encode(Batch(GATEWAY, SENDER, 1, aggregates(20, 0)), 7_000)
            message = model.PublishMessage(binary_message=model.BinaryMessage(message=payload))

            def offer() -> bool:
                listener.client.publish_to_topic(topic=topics.SCORED, publish_message=message)
                return bool(listener.on(topics.SCORED_ACK))

            until(offer, lambda: nucleus.states(), 60)
            until(lambda: sum(cloud.rows().values()) == 20, lambda: nucleus.log(NAME).read_text()[-3_000:], 60)
        finally:
            listener.close()
            nucleus.stop()
            cloud.close()
    assert set(cloud.topics) == {topics.published(GATEWAY, "bulk")}
    assert '"batches_acknowledged"' in nucleus.log(NAME).read_text()
