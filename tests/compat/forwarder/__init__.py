"""Files of a spool written by an earlier version."""
