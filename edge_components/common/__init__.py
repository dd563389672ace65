"""Edge kernel, shared by all components: configuration, loop, bus, handover of batches, journal.

Only :mod:`edge_components.common.ipc` uses the Greengrass SDK; everything else works against
:mod:`edge_components.common.ports`.
"""
