"""The commands of ``strandline``, one file each; a file gives ``register(app)``, which adds its command to the app.

What a command needs is imported inside it, so that ``strandline --help`` does not wait for all of them.
"""
