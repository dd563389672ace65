"""The pure decisions of the cloud: no I/O, no clock, no AWS."""
