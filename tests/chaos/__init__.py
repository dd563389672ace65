"""Everything is broken at once, and nothing may be lost or counted twice."""
