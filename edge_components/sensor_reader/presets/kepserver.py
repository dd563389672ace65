"""KEPServerEX: the JSON templates of its IoT Gateway, arrays of tags whose values may be arrays.

The standard template has ``id``, ``v``, ``q`` and ``t`` in ``values``. Advanced templates are written by their users:
an array of such tags without an object around it is read, too, and the keys ``tagname``, ``value``, ``timestamp``.
"""

from edge_components.sensor_reader.presets import Preset

PRESET = Preset(
    "KEPServerEX IoT Gateway",
    topics=({"topic": "iotgateway/#"},),
    mapping={
        "each": ["values.*", "*"],
        "value": [*("v", "v.*", "v.*.*"), *("value", "value.*", "value.*.*")],
        "time": ["t", "timestamp"],
        "quality": "q",
        "series": "{.id?}.{.tagname?}.{index}",
        "text_values": "skip",
        "ignore": ["*._System.*", "_System.*"],
    },
)
