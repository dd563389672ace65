"""Score aggregates and report anomalies: the input is aggregates, the output scored aggregates and anomalies.

The third stage of the flow, between the aggregator and the forwarder. ``univariate`` scores single series: experts turn
a window into statistics, calibration scales these to the series so that 1.0 is the alarm level, the ensemble combines
them, tracking derives anomalies. ``multivariate`` scores groups of series. ``model_runtime`` manages models from
outside, whose scores are one more cause. ``scoring`` splits batches into windows, ``reports`` and ``warmup_filter``
create and filter reports, ``component`` and ``main`` connect everything to the bus.
"""
