"""State written by earlier versions, which the present version must load."""
