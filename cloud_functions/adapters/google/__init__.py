"""Implementation of the ports with Google Cloud: one service a file."""
