"""The whole system on a laptop: simulated sensors, a local nucleus, a local cloud, and the ``strandline`` CLI.

The recipes, the components' zips, the SAM template and the Lambdas are the ones that are deployed in the field.
"""
