"""What the detector finds out by itself: scores of single series (``ensemble``) and of groups (``groups``, ``joint``).

Pure: windows in, scores and what is to be reported out. Opinions of models from outside come in as data.
"""
