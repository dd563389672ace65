"""Forecast function: when a series reaches a limit, or why an estimate is not possible."""
