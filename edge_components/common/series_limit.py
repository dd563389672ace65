"""The number of series that a gateway handles: one limit and one default for every component."""

MAX_SERIES = 16_384
DEFAULT_SERIES = 16_384
