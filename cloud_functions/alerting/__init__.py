"""Tables' streams -> alerts -> queues of the channels; see :mod:`cloud_functions.core.alerting` and ``dispatch``."""
