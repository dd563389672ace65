"""Models are data from outside: found, checked by their manifest, tried in a child process, swapped in, taken back.

``model_keeper`` does so for groups and ``forecasters`` for the forecaster of single series, whose file as shipped
lies here too.
"""
