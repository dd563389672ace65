"""What every component shares: configuration, the loop it runs in, the bus it speaks on, and the handover of batches.

Only :mod:`edge_components.common.ipc` knows the Greengrass SDK; everything else works against
:mod:`edge_components.common.ports`.
"""
