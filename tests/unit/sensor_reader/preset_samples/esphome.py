"""ESPHome."""

from __future__ import annotations

from tests.unit.sensor_reader.preset_samples import Sample

_MQTT = "MQTT Client Component, state_topic, https://esphome.io/components/mqtt.html"
_CLIMATE = "Climate Component, MQTT options, https://esphome.io/components/climate/"
_COVER = "Cover Component, MQTT options, https://esphome.io/components/cover/"
_FAN = "Fan Component, MQTT options, https://esphome.io/components/fan/"

SAMPLES = [
    Sample("weather/sensor/outside_temperature/state", "-3.25", {"weather.outside_temperature": -3.25}, _MQTT),
    Sample("weather/binary_sensor/rain/state", "ON", {"weather.rain": 1}, _MQTT),
    Sample("weather/switch/heater/state", "OFF", {"weather.heater": 0}, _MQTT),
    Sample("weather/sensor/wind/state", "nan", {}, _MQTT),
    Sample(
        "weather/light/lamp/state",
        {
            "state": "ON",
            "brightness": 128,
            "color_mode": "rgb",
            "color": {"r": 255, "g": 120, "b": 0},
            "effect": "None",
        },
        {
            "weather.lamp.state": 1,
            "weather.lamp.brightness": 128,
            "weather.lamp.color.r": 255,
            "weather.lamp.color.g": 120,
            "weather.lamp.color.b": 0,
        },
        _MQTT,
    ),
    Sample(
        "weather/climate/hall/current_temperature/state", "20.5", {"weather.hall.current_temperature": 20.5}, _CLIMATE
    ),
    Sample("weather/climate/hall/mode/state", "heat", {}, _CLIMATE),
    Sample("weather/cover/blind/position/state", "65", {"weather.blind.position": 65}, _COVER),
    Sample("weather/fan/roof/speed_level/state", "3", {"weather.roof.speed_level": 3}, _FAN),
    Sample("weather/text_sensor/version/state", "2023.10.1", {}, _MQTT),
]
