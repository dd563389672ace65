"""Files and messages of the shared code written by an earlier version."""
