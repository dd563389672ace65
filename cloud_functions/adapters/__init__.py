"""Implementations of the core's ports with AWS services, one in each file. Errors are raised as StoreError."""
