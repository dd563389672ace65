"""io.strandline.Runtime: the Python environment in which the four components run; it processes no data."""
