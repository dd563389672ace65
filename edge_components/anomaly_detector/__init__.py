"""Scores aggregates and reports anomalies: Aggregates in, the same Aggregates with scores and Anomalies out.

The third stage of the flow, between the aggregator and the forwarder. ``statistics`` is what the detector finds out by
itself, pure and columnar over series: experts turn a window into statistics, calibration puts these on the series' own
scale where 1.0 is the alarm level, the ensemble joins them, tracking makes anomalies of scores. ``models`` come from
outside and have a say in it. ``scoring`` takes batches apart for all
of this, ``explain`` and ``patience`` make reports of it, ``component`` and ``main`` put it on the bus.
"""
