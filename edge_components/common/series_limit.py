"""Maximum and default number of series of a gateway, for every component."""

MAX_SERIES = 16_384
DEFAULT_SERIES = 16_384
