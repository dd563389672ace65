"""Pure core of the cloud functions, without I/O, clock and AWS."""
