"""HTTP API over both tables: gateways, series, aggregates and alerts, and telemetry of devices without MQTT."""
