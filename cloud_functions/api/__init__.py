"""HTTP over both tables: gateways, series, aggregates, alerts; and telemetry from what speaks no MQTT."""
