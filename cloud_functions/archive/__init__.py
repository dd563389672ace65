"""The function that reads the archive."""
