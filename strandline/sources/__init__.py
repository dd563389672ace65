"""Trial of sources without a gateway: an entry's readings, a mapping on one payload, mappings for a broker's topics."""
