"""Compatibility with files that earlier versions wrote."""
