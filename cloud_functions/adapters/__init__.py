"""The AWS services behind the core's ports, one a file. Every error of theirs leaves as a StoreError."""
