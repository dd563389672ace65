"""State files written by the aggregator of earlier versions."""
