"""The local gateway and the local cloud on the readings of a user's own broker.

``mapping`` proposes a configuration from what the broker carries, ``configuration`` (pure) makes the components'
settings, ``status`` (pure) the lines that are printed, and ``run`` starts and stops the parts.
"""
