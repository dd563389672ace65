"""The whole system in one run, and the proof that nothing was lost or doubled on the way.

``run`` starts everything and tears it down; ``tap`` listens to what the aggregator makes; ``proof`` and ``matching``
(pure) hold it against what the cloud has stored and against the faults that were laid; ``summary`` says the result.
"""
