"""Detection over groups of series, such as the channels of one machine (``groups``, ``group_detector``). Pure."""
