"""State files of the anomaly detector."""
