"""Commands of ``strandline``: one module for each, with a function ``register(app)`` that adds it.

Commands import their dependencies when they are called, so that ``strandline --help`` is fast.
"""
