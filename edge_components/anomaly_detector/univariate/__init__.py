"""Detection over single series: experts, calibration of their statistics, and the ensemble that combines them.

Pure: windows in, scores and changes of anomalies out. Scores of models from outside come in as data.
"""
