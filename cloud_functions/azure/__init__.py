"""The function app of Azure: wiring of its triggers, and its infrastructure."""
