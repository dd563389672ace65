"""Version of the components, which all have the same one: that of the recipes and of pyproject.toml."""

VERSION = "0.1.0"
