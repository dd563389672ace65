"""The adaptive entropy coder (coder 3): integer prediction, adaptive distributions and rANS.

It codes columns of integers and depends on nothing else of the batch format but the error class. FORMAT.md specifies
every step; all arithmetic is integer, so every platform decodes the same cells.

- :mod:`~wire.model_coder.prediction`: the expected value of the next cell.
- :mod:`~wire.model_coder.adaptive_model`: expectation and spread per group, updated after each cell.
- :mod:`~wire.model_coder.distributions`: frequency tables by shape, spread and skew.
- :mod:`~wire.model_coder.parameter_search`: the encoder's choice of a column's parameters (not part of the format).
- :mod:`~wire.model_coder.rans`: the entropy coder.
"""
