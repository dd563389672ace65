"""The harness that tries to disprove "nothing lost, nothing twice": real processes, numbered readings, planned faults.

``numbering`` and ``source`` make readings whose sums tell which of them are there; ``schedule`` plans the faults;
``faults`` and ``actions`` bring them about on ``gateway``, ``broker``, ``disks`` and ``clock``, and on the network, in
whose way ``packets``, ``downlink`` and ``proxy`` stand; ``proof`` and ``ledger`` hold what the cloud has stored against
what was sent and what was counted as dropped; ``runner`` does one run from nothing to the ``report``.
"""
