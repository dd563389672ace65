"""The command-line tool of operators and developers.

``commands`` holds one module per command, ``packaging`` builds the component artifacts, ``training`` makes models from
recorded tables, and ``recorded`` runs the detector over recorded tables. Nothing of this runs on a gateway or in a
Lambda function, and no other package imports it.
"""

from edge_components.common.version import VERSION

__version__ = VERSION
"""Version of this distribution, its components and their recipes."""
