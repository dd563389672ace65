"""rtl_433: events of radio sensors. Their time is local unless the receiver is set otherwise: the arrival counts."""

from edge_components.sensor_reader.presets import ON_OFF, Preset

PRESET = Preset(
    "rtl_433",
    topics=({"topic": "rtl_433/+/events"},),
    mapping={
        "value": "**",
        "time": "",
        "series": "{.model}.{.id}.{field}",
        "text_values": "skip",
        "words": dict(ON_OFF),
        "ignore": [
            *("time", "id", "channel", "model", "protocol", "mic", "mod", "freq*", "subtype", "sequence*", "msg*"),
            *("num_rows", "rows.*", "codes.*", "data", "flags", "radio_clock", "*_raw", "counter", "seq", "unit"),
        ],
        "fields": {
            "temperature_C": {"unit": "Cel"},
            "temperature_F": {"unit": "degF"},
            "humidity": {"unit": "%RH"},
            "pressure_hPa": {"unit": "hPa"},
            "pressure_kPa": {"unit": "kPa"},
            "rssi": {"unit": "dB"},
            "snr": {"unit": "dB"},
            "wind_avg_km_h": {"unit": "km/h"},
            "wind_avg_m_s": {"unit": "m/s"},
            "rain_mm": {"unit": "mm"},
        },
    },
)
