"""Checks of the machine that a gateway or the command line runs on; each finding has the command that mends it.

``findings`` (pure) has the result of a check. The other modules have checks of one subject each; the parts of the
machine that they read are arguments.
"""
