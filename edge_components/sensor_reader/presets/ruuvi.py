"""Ruuvi Gateway: the advertisements of RuuviTags, which the format ``ruuvi`` decodes."""

from edge_components.sensor_reader.presets import Preset

PRESET = Preset(
    "Ruuvi Gateway",
    topics=({"topic": "ruuvi/+/{tag}", "series": "{tag}.{field}"},),
    mapping={"format": "ruuvi", "time": "ts"},
)
