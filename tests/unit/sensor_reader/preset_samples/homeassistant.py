"""Home Assistant's MQTT state stream."""

from __future__ import annotations

from tests.unit.sensor_reader.preset_samples import Sample

_STREAM = "MQTT Statestream, https://www.home-assistant.io/integrations/mqtt_statestream/"
_STATES = "States of entities of the domain, https://www.home-assistant.io/integrations"

SAMPLES = [
    Sample(
        "homeassistant/sensor/living_room_temperature/state", "20.7", {"sensor.living_room_temperature": 20.7}, _STREAM
    ),
    Sample(
        "homeassistant/binary_sensor/front_door/state",
        "off",
        {"binary_sensor.front_door": 0},
        f"{_STREAM}; {_STATES}/binary_sensor/",
    ),
    Sample("homeassistant/switch/pump/state", "on", {"switch.pump": 1}, f"{_STREAM}; {_STATES}/switch/"),
    Sample("homeassistant/cover/gate/state", "closed", {"cover.gate": 0}, f"{_STREAM}; {_STATES}/cover/"),
    Sample("homeassistant/lock/door/state", "locked", {"lock.door": 1}, f"{_STREAM}; {_STATES}/lock/"),
    Sample("homeassistant/sensor/weather/state", "cloudy", {}, _STREAM),
    Sample(
        "homeassistant/input_number/setpoint/state",
        "55.0",
        {"input_number.setpoint": 55},
        f"{_STREAM}; {_STATES}/input_number/",
    ),
    Sample("homeassistant/sensor/pump_power/state", "unavailable", {}, _STREAM),
    Sample("homeassistant/sensor/last_boot/state", "2023-11-14T22:13:10+00:00", {}, _STREAM),
    Sample(
        "homeassistant/climate/hall/current_temperature",
        "20.5",
        {"climate.hall.current_temperature": 20.5},
        f"{_STREAM}, publish_attributes; {_STATES}/climate/",
    ),
    Sample("homeassistant/light/lamp/brightness", "null", {}, f"{_STREAM}, publish_attributes; {_STATES}/light/"),
]
