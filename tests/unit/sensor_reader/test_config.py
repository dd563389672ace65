"""The sensor reader's configuration is refused where a source could not work with it."""

from __future__ import annotations

from typing import Any

import pytest

from edge_components.common.config import load
from edge_components.common.errors import ConfigError
from edge_components.sensor_reader.config import Config
from edge_components.sensor_reader.sources.host import HostSettings
from edge_components.sensor_reader.sources.mqtt import MqttSettings


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"mqtt_topics": ["sensors/#"]}, "mqtt_topics: topic pattern 'sensors/#' has no {placeholder}"),
        ({"mqtt_topics": ["sensors/{a}b"]}, "mqtt_topics: "),
        ({"mqtt_topics": []}, "mqtt_topics: [] is not allowed while mqtt is true"),
        ({"mqtt_topics": "sensors/{a}"}, "mqtt_topics: "),
        ({"mqtt_cert_file": "/c", "mqtt_tls": True}, "mqtt_cert_file, mqtt_key_file: both or neither"),
        ({"mqtt_cert_file": "/c", "mqtt_key_file": "/k"}, "mqtt_cert_file: only with mqtt_tls true"),
        ({"mqtt_password_file": "/p"}, "mqtt_password_file: only with mqtt_username"),
        ({"mqtt_password_file": "relative"}, "mqtt_password_file: "),
        ({"mqtt_host": "a b"}, "mqtt_host: "),
        ({"mqtt_port": 0}, "mqtt_port: "),
        ({"mqtt_password": "x"}, "mqtt_password: unknown key"),
        ({"host_prefix": ".x"}, "host_prefix: "),
        ({"series": {"*": {"unit": "x" * 33}}}, "series: "),
        ({"series": {"*": {"resolution": 0}}}, "series: "),
        ({"series": {"*": {"resolution": True}}}, "series: "),
        ({"series": {"*": {"resolution": "nan"}}}, "series: "),
        ({"series": {"*": {"units": "m"}}}, "series: "),
        ({"series": {"*": "m"}}, "series: "),
        ({"series": []}, "series: "),
    ],
)
def test_what_cannot_work_is_refused_with_its_key(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(Config, values)
    assert caught.value.problems[0].startswith(said)


def test_the_sources_wanted_are_those_that_are_switched_on() -> None:
    assert list(Config().sources("gw")) == ["mqtt", "host"]
    assert load(Config, {"mqtt": "false", "mqtt_topics": []}).sources("gw") == {"host": HostSettings("host", 1000, "/")}
    wanted = load(Config, {"host": False, "mqtt_host": "broker"}).sources("gw")
    assert isinstance(wanted["mqtt"], MqttSettings)
    assert (wanted["mqtt"].host, wanted["mqtt"].client_id) == ("broker", "strandline-gw")


def test_traits_are_read_from_text_too() -> None:
    config = load(Config, {"series": {"*.t": {"unit": "Cel", "resolution": "0.01"}, "x": {}}})
    assert config.series == {"*.t": ("Cel", 0.01), "x": (None, None)}
