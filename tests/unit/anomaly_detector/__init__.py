"""The anomaly detector."""
