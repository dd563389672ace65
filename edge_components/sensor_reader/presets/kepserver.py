"""KEPServerEX: the standard JSON template of its IoT Gateway, an array of tags."""

from edge_components.sensor_reader.presets import Preset

PRESET = Preset(
    "KEPServerEX IoT Gateway",
    topics=({"topic": "iotgateway/#"},),
    mapping={
        "each": "values.*",
        "value": "v",
        "time": "t",
        "quality": "q",
        "series": "{.id}",
        "text_values": "skip",
        "ignore": ["*._System.*", "_System.*"],
    },
)
