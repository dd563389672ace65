"""The whole system in one run, and the proof that no data was lost or duplicated.

``run`` starts and stops the parts; ``tap`` records the aggregator's rows; ``proof`` and ``matching``
(pure) compare it with the rows stored in the cloud and with the injected faults; ``summary`` prints the result.
"""
