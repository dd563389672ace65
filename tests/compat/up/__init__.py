"""Folder of ``strandline up`` as an earlier version wrote it."""
