"""AWS IoT SiteWise: property values, as notifications and as arrays of an alias."""

from edge_components.sensor_reader.presets import Preset

_VALUES = ["value.doubleValue", "value.integerValue", "value.booleanValue"]

PRESET = Preset(
    "AWS IoT SiteWise",
    topics=(
        {
            "topic": "$aws/sitewise/asset-models/+/assets/{asset}/properties/{property}",
            "each": "payload.values.*",
            "series": "{asset}.{property}",
        },
        {"topic": "sitewise/#", "each": "propertyValues.*", "series": "{.propertyAlias}"},
    ),
    mapping={"value": _VALUES, "time": "timestamp", "quality": "quality", "text_values": "skip"},
)
