"""The harness that tries to disprove "nothing lost, nothing twice": real processes, numbered readings, planned faults.

``numbering`` and ``source`` make readings whose sums tell which of them are there; ``schedule`` plans the faults;
``network`` and ``processes`` and ``disks`` bring them about (``packets``, ``proxy``, ``downlink`` stand in the way of
the network); ``proof`` holds what the cloud has stored against what was sent; ``runner`` does one run from nothing to
the report. ``numbering``, ``packets``, ``downlink``, ``schedule``, ``proof`` and ``ledger`` are pure.
"""
