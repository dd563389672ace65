"""io.strandline.Runtime: the one Python environment in which the four components run; it moves no data itself."""
