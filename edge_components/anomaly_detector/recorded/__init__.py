"""The same detector over recorded tables, for ``strandline detect`` and the benchmarks; never run on a gateway."""
