"""Fault-injection harness for the claim "no reading lost or counted twice", with real processes and numbered readings.

``numbering`` and ``source`` generate readings that are identifiable in a sum; ``schedule`` plans the faults; ``faults``
and ``actions`` cause them on ``gateway``, ``broker``, ``disks`` and ``clock``, and in the network proxy of ``packets``,
``downlink`` and ``proxy``; ``proof`` and ``ledger`` compare the stored aggregates with the sent readings and the
counters of dropped ones; ``runner`` executes a run and returns its ``report``.
"""
