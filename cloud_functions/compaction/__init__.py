"""Compaction of stored batches to roll-ups and to the archive."""
