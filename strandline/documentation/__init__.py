"""The documentation site: links between documents, and reference pages generated from the code."""
