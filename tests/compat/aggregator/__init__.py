"""State that the aggregator of earlier versions left on the disk."""
