"""Ruuvi Gateway: the advertisements of its sensors, which the format ``ruuvi`` decodes."""

from edge_components.sensor_reader.presets import Preset

PRESET = Preset(
    "Ruuvi Gateway",
    topics=({"topic": "ruuvi/+/gw_status", "skip": True}, {"topic": "ruuvi/+/{tag}", "series": "{tag}.{field}"}),
    mapping={"format": "ruuvi", "time": ["ts", "timestamp"]},
)
