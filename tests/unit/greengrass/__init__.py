"""The cores of the local nucleus, and its parts with as little around them as they allow."""
