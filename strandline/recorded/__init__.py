"""The detector over recorded tables, for ``strandline detect`` and the benchmarks."""
