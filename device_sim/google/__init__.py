"""Local stand-ins of Google Cloud services."""
