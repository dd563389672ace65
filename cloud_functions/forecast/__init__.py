"""Beside the api: reads a series' recent past and tells when it reaches a limit, or why that is not known."""
