"""Commands of ``strandline``, one module each, with a function ``register(app)`` that adds the command.

What a command needs is imported inside it, so that ``strandline --help`` does not wait for all of them.
"""
