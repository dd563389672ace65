"""Short runs of the chaos harness."""
