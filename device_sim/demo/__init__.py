"""The whole system in one run, and the proof that nothing was lost or doubled on the way.

``run`` starts everything and tears it down; ``tap`` listens to what the aggregator makes; ``proof`` and ``matching``
(pure) compare it with the rows stored in the cloud and with the injected faults; ``summary`` prints the result.
"""
