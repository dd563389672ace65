"""Size limits of batches; FORMAT.md gives the reason for each."""

MAX_BATCH_BYTES = 5_000
"""Maximum size of a batch to the cloud: with its topic one metered unit of 5 KB."""

MAX_LOCAL_BYTES = 7_000
"""Maximum size of a message between components: nucleus lite closes the connection a little above it."""

MAX_VALUE = 1e100
"""Maximum magnitude of a reading: sums of squares of such values stay finite."""

MAX_ROWS = 65_536
MAX_SERIES = 4_096
MAX_INFLATED_BYTES = 8_000_000
MAX_LATE = 16
"""Maximum shift of the spreads of a profile."""
