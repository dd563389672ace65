"""Schedule -> timers of alerts, silent gateways, health and cloud rules; see :mod:`cloud_functions.core.watch`."""
