"""Public data sets: their sources, fetching, and unpacking into their official layouts."""
