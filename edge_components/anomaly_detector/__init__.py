"""Scores aggregates and reports anomalies: Aggregates in, the same Aggregates with scores and Anomalies out.

The third stage of the flow, between the aggregator and the forwarder. ``experts`` turn a window into statistics,
``calibration`` puts these on the series' own scale where 1.0 is the alarm level, ``ensemble`` joins them, ``tracking``
makes anomalies of scores; all of these are pure and columnar over series. ``offline`` runs the same ensemble over a
recorded table. ``component`` and ``main`` put it on the bus; ``tflite_model`` runs models.

Models of groups come from outside: ``manifest`` says what one is, ``model_offers`` finds it, ``trial`` tries it in a
child, ``model_store`` keeps it, ``group_scorer`` scores with it, and ``model_keeper`` decides which one counts.
"""
