"""Models from outside: discovery, manifest, validation in a child process, swap, and rollback after a failure.

``model_manager`` does so for models of groups, ``forecaster_manager`` for the forecaster of single series, whose
shipped file is in this folder too.
"""
