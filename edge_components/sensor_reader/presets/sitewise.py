"""AWS IoT SiteWise: property values, as notifications, as arrays of an alias or asset, and as entries of a request."""

from edge_components.sensor_reader.presets import Preset

PRESET = Preset(
    "AWS IoT SiteWise",
    topics=(
        {
            "topic": "$aws/sitewise/asset-models/+/assets/{asset}/properties/{property}",
            "each": "payload.values.*",
            "series": "{asset}.{property}",
        },
        {
            "topic": "sitewise/#",
            "each": ["propertyValues.*", "entries.*.propertyValues.*", "*.propertyValues.*"],
            "series": "{.propertyAlias?}.{.assetId?}.{.propertyId?}",
        },
    ),
    mapping={
        "value": "value.*",
        "time": "timestamp",
        "quality": "quality",
        "text_values": "skip",
        "ignore": ["value.stringValue"],
    },
)
