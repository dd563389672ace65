"""Score aggregates and report anomalies: aggregates in, the same aggregates with scores, and anomalies, out.

The third stage of the flow, between the aggregator and the forwarder. ``univariate`` scores single series: experts turn
a window into statistics, calibration scales these to the series so that 1.0 is the alarm level, the ensemble combines
them, tracking derives anomalies. ``multivariate`` scores groups of series. ``model_runtime`` manages models from
outside, whose scores are one more cause. ``scoring`` splits batches into windows, ``reports`` and ``warmup_filter``
make and filter reports, ``component`` and ``main`` connect all to the bus.
"""
