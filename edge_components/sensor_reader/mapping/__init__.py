"""The mapping from payloads to readings that all formats share: names, values, units and times."""
