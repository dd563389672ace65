"""Forecast function: when a series reaches a limit, or why there is no estimate."""
