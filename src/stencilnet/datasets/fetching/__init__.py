"""Public data sets: where they come from, fetching them, and unpacking them into their official layouts."""
