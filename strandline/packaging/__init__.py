"""Build of the Greengrass components: zips and recipes, and wheels for gateways without a package index."""
